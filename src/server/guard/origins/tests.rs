use super::*;
use crate::http::check_url;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect(text)
}

fn origins(known: bool, listed: &[&str], ruled: &[(&str, Rule)]) -> Result<Origins, Twice> {
    let listed = listed.iter().map(|text| pattern(text)).collect();
    Origins::new(known, listed, ruled.iter().map(|(text, rule)| (pattern(text), rule.clone())).collect())
}

fn judge(origins: &Origins, method: &Method, url: &str) -> Result<Reach, Refused> {
    origins.judge(method, &check_url(url).expect(url)).map(|rule| rule.reach)
}

const PUBLIC: Result<Reach, Refused> = Ok(Reach::Public);
const PRIVATE: Result<Reach, Refused> = Ok(Reach::Private);
const REFUSED: Result<Reach, Refused> = Err(Refused::Origin);

#[test]
fn only_listed_origins_pass_in_any_spelling() {
    let listed = ["http://127.0.0.1:8080", "https://LLM.example.com", "https://*.example.net", "https://api.groq.com"];
    let origins = origins(true, &listed, &[]).expect("origins");
    for (url, verdict) in [
        ("https://api.openai.com/v1/models", PUBLIC),
        ("https://API.OpenAI.com:443/v1", PUBLIC),
        ("https://api.openai.com./v1", PUBLIC),
        ("https://api.groq.com/v1", PUBLIC),
        ("https://a.example.net/v1", PUBLIC),
        ("http://api.openai.com/v1", REFUSED),
        ("https://api.openai.com:444/v1", REFUSED),
        ("https://api.openai.com.evil.example/", REFUSED),
        ("https://openai.com/", REFUSED),
        ("https://example.net/", REFUSED),
        ("https://llm.example.com/x", PRIVATE),
        ("http://127.0.0.1:8080/x", PRIVATE),
        ("http://0x7f.1:8080/x", PRIVATE),
        ("http://127.0.0.1/x", REFUSED),
        ("http://localhost:8080/x", REFUSED),
        ("http://169.254.169.254/latest/meta-data", REFUSED),
        ("http://[::1]:8080/", REFUSED),
        ("http://[::ffff:127.0.0.1]:8080/", REFUSED),
    ] {
        assert_eq!(judge(&origins, &Method::GET, url), verdict, "{url}");
    }
}

#[test]
fn the_built_in_list_can_be_left_out() {
    let none = origins(false, &[], &[]).expect("origins");
    assert_eq!(judge(&none, &Method::GET, "https://api.openai.com/"), REFUSED);
    let one = origins(false, &[], &[("https://api.openai.com", Rule::of(&pattern("https://api.openai.com")))]);
    assert_eq!(judge(&one.expect("origins"), &Method::GET, "https://api.openai.com/"), PUBLIC);
}

#[test]
fn the_most_exact_entry_decides_alone() {
    let exact = Rule { methods: Some(vec![Method::GET]), ..Rule::of(&pattern("https://a.example.com")) };
    let paths = Prefixes::parse(&["/v1/".into()]).expect("prefixes");
    let wide = Rule { paths: Some(paths), reach: Reach::Public, ..exact.clone() };
    let wide = Rule { methods: None, ..wide };
    let origins = origins(true, &[], &[("https://*.example.com", wide), ("https://a.example.com", exact)]).expect("origins");
    for (method, url, verdict) in [
        (Method::GET, "https://a.example.com/any", PRIVATE),
        (Method::POST, "https://a.example.com/v1/x", Err(Refused::Method)),
        (Method::POST, "https://b.example.com/v1/x", PUBLIC),
        (Method::POST, "https://b.example.com/v1/x?q=/../", PUBLIC),
        (Method::POST, "https://b.example.com/v2/x", Err(Refused::Path)),
        (Method::POST, "https://b.example.com/v1/../v2", Err(Refused::Path)),
        (Method::POST, "https://b.example.com/v1/%2e%2e/v2", Err(Refused::Path)),
        (Method::POST, "https://b.example.com?/v1/", Err(Refused::Path)),
        (Method::POST, "https://example.com/v1/", REFUSED),
    ] {
        assert_eq!(judge(&origins, &method, url), verdict, "{method} {url}");
    }
}

#[test]
fn two_entries_for_one_origin_are_refused() {
    let rule = || Rule::of(&pattern("https://a.example.com"));
    for (listed, ruled) in [
        (&["https://A.example.com:443"][..], &[("https://a.example.com", rule())][..]),
        (&[], &[("https://a.example.com", rule()), ("https://a.example.com.", rule())]),
        (&["https://*.example.com"], &[("https://*.example.com", rule())]),
    ] {
        let error = origins(true, listed, ruled).expect_err("refused").to_string();
        assert!(error.contains(".example.com"), "{error}");
    }
    assert!(origins(true, &["https://a.example.com", "https://a.example.com"], &[]).is_ok(), "both say the same");
    assert!(origins(true, &[], &[("https://api.openai.com", rule())]).is_ok(), "the built-in list is no entry");
}

#[test]
fn every_known_origin_is_https_and_well_formed() {
    for origin in KNOWN {
        assert!(origin.starts_with("https://") && pattern(origin).to_string() == *origin);
    }
    assert_eq!(origins(true, &[], &[]).expect("origins").list().len(), KNOWN.len());
}
