use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).expect(text)
}

fn patterns(entries: &[&str]) -> Patterns {
    Patterns::parse(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>()).expect("patterns")
}

#[test]
fn a_wildcard_stands_for_one_label_or_more() {
    let all = patterns(&["https://*.example.com", "https://*.Bücher.example:8443"]);
    for at in [
        "https://a.example.com/v1",
        "https://a.b.c.example.com",
        "https://A.Example.COM:443",
        "https://a.example.com.",
        "https://a.xn--bcher-kva.example:8443",
        "https://a.bücher.example:8443",
    ] {
        assert!(all.contains(&url(at)), "{at}");
    }
    for at in [
        "https://example.com",
        "https://example.com.",
        "https://.example.com",
        "https://a..example.com",
        "https://.a.example.com",
        "https://aexample.com",
        "https://a.example.com.evil.example",
        "https://a.example.co",
        "https://a.example.com:8443",
        "http://a.example.com",
        "http://a.example.com:443",
        "https://a.bücher.example",
        "https://a.bucher.example:8443",
        "https://127.0.0.1",
        "https://[::1]",
    ] {
        assert!(!all.contains(&url(at)), "{at}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_and_says_why() {
    for entry in [
        "*",
        "https://*",
        "https://*.",
        "https://*.com",
        "https://*.com.",
        "https://*..com",
        "https://*.example..com",
        "https://*.*.example.com",
        "https://a.*.example.com",
        "https://*a.example.com",
        "https://a*.example.com",
        "https://%2a.example.com",
        "https://api.example.*",
        "https://api.example.com:*",
        "http://*.example.com",
        "*.example.com",
        "*://api.example.com",
        "https://*.0.0.1",
        "https://*.127.0.0.1",
        "https://*.[::1]",
        "https://*.0x7f.1",
        "https://*.example.com/v1",
        "https://*.example.com?x",
        "https://u:secret@*.example.com",
        "https://*.u:secret@example.com",
    ] {
        let error = Pattern::parse(entry).expect_err(entry).to_string();
        assert!(error.contains('`') && !error.contains("secret"), "{error}");
    }
    for entry in [
        "",
        "api.openai.com",
        "https://x.example/v1",
        "https://x.example?",
        "https://x.example#",
        "https://u@x.example",
        "https://@x.example",
        "https://u:secret@x.example",
        "https://x.example\\",
        "ftp://x.example",
        "https://",
        "https://x.example:99999",
        "https://x.exam\tple",
        " https://x.example",
    ] {
        let error = Pattern::parse(entry).expect_err(entry);
        assert!(matches!(error, NotAnOrigin::Malformed(_)) && !error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn the_most_exact_one_counts_whatever_the_order() {
    let entries = ["https://*.example.com", "https://a.b.example.com", "https://*.b.example.com", "https://*.example.com:8443"];
    for turn in 0..entries.len() {
        let mut map = PatternMap::default();
        for at in 0..entries.len() {
            let entry = entries[(at + turn) % entries.len()];
            assert_eq!(map.insert(Pattern::parse(entry).expect(entry), entry), None);
        }
        for (at, entry) in [
            ("https://x.example.com", Some(entries[0])),
            ("https://a.b.example.com", Some(entries[1])),
            ("https://x.b.example.com", Some(entries[2])),
            ("https://x.a.b.example.com", Some(entries[2])),
            ("https://b.example.com", Some(entries[0])),
            ("https://x.b.example.com:8443", Some(entries[3])),
            ("https://example.com", None),
        ] {
            assert_eq!(map.get(&url(at)).copied(), entry, "{at}");
        }
    }
}

#[test]
fn one_origin_in_two_spellings_is_one() {
    for (one, other) in [
        ("https://api.example.com", "https://API.example.com:443/"),
        ("https://api.example.com", "https://api.example.com."),
        ("http://127.0.0.1:80", "http://0x7f.1"),
        ("https://*.example.com", "https://*.EXAMPLE.com.:443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ] {
        let mut map = PatternMap::default();
        assert_eq!(map.insert(Pattern::parse(one).expect(one), 1), None);
        assert_eq!(map.insert(Pattern::parse(other).expect(other), 2), Some(1), "{other}");
        assert_eq!(map.list().len(), 1);
    }
}

#[test]
fn keys_may_travel_in_the_clear_on_this_machine_and_its_network_alone() {
    for (entry, exposed) in [
        ("https://api.example.com", false),
        ("https://*.example.com", false),
        ("http://localhost:8000", false),
        ("http://127.0.0.1:8000", false),
        ("http://10.1.2.3", false),
        ("http://[::1]:8000", false),
        ("http://[fd12::1]", false),
        ("http://api.example.com", true),
        ("http://localhost.example.com", true),
        ("http://1.1.1.1", true),
        ("http://169.254.169.254", true),
        ("http://[2606:4700::1111]", true),
    ] {
        assert_eq!(Pattern::parse(entry).expect(entry).is_exposed(), exposed, "{entry}");
    }
}

#[test]
fn a_list_shows_what_it_was_made_of() {
    let list = patterns(&["https://*.example.com:8443", "https://b.example", "https://*.example.com", "https://b.example:443"]);
    assert_eq!(list.list(), ["https://*.example.com", "https://*.example.com:8443", "https://b.example"]);
    assert!(!list.is_empty() && Patterns::default().is_empty() && !Patterns::default().contains(&url("https://b.example")));
}
