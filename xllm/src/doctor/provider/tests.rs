use super::*;
use crate::{config::Config, doctor::check::Status, exit::Exit};

const LOCAL: &str = "[models.mine]\nurl = \"http://h.example\"\n";

fn planned(text: &str, env: &[(&str, &str)], proxied: bool) -> Vec<Visit> {
    let env = Env::of(env);
    let config = Config::parse("c.toml", text, &env).expect("valid");
    let catalog = Catalog::new(&config).expect("the data file is valid");
    plan(&catalog, &env, proxied)
}

/// Each provider, and what is known of it without a request.
fn known(text: &str, env: &[(&str, &str)]) -> Vec<(String, Option<&'static str>)> {
    let state = |visit: &Visit| if let Visit::Known(check) = visit { Some(check.status.word()) } else { None };
    planned(text, env, true).iter().map(|visit| (visit.name().to_owned(), state(visit))).collect()
}

fn first(text: &str, env: &[(&str, &str)], proxied: bool) -> Box<Ask> {
    match planned(text, env, proxied).swap_remove(0) {
        Visit::Ask(ask) => ask,
        Visit::Known(check) => panic!("{check:?}"),
    }
}

fn judged(ask: &Ask, status: u16) -> Check {
    let status = StatusCode::from_u16(status).expect("a status");
    ask.judge(Answer::Head { status, refused: false, page: false }, Duration::from_millis(84))
}

#[test]
fn built_in_providers_that_nobody_uses_are_left_in_peace() {
    let openai = [("OPENAI_API_KEY", "sk")];
    assert_eq!(known("", &openai), [("claude".into(), Some("skipped")), ("openai".into(), None)]);
    assert_eq!(known("", &[]), [("claude".into(), Some("warning")), ("openai".into(), Some("warning"))]);
    let beside = known(LOCAL, &[]);
    assert_eq!(beside[0], ("mine".into(), None), "a server of one's own may need no key");
    assert_eq!((beside[1].1, beside[2].1), (Some("skipped"), Some("skipped")));
    let configured = known("[models.openai]\napi_key = \"${OPENAI_API_KEY}\"", &[]);
    assert_eq!(configured, [("openai".into(), None), ("claude".into(), Some("warning"))]);
    assert_eq!(known("[models.x]\nurl = \"ftp://x\"", &openai)[0].1, Some("failed"));
}

#[test]
fn it_is_said_where_a_key_comes_from() {
    for (text, env, said) in [
        ("[models.openai]\napi_key = \"sk-1\"", &[][..], "key from the configuration"),
        ("[models.openai]\napi_key = \"${K}\"", &[("K", "sk-1")], "key from the environment"),
        ("[models.openai]\n", &[("OPENAI_API_KEY", "sk-1")], "key from OPENAI_API_KEY"),
        ("[models.openai]\napi_key = \"${K}\"", &[("OPENAI_API_KEY", "sk-1")], "key from OPENAI_API_KEY"),
        ("[models.openai]\napi_key = \"${K}\"", &[], "no key: K is not set"),
        ("[models.openai]\nurl = \"http://h\"", &[("OPENAI_API_KEY", "sk-1")], "no key: none is configured"),
    ] {
        let check = judged(&first(text, env, true), 200);
        assert_eq!((check.status, check.detail), (Status::Ok, format!("HTTP 200 in 84 ms, {said}")), "{text}");
    }
}

#[test]
fn a_status_is_judged_by_what_it_means_for_a_chat() {
    let keyed = first(&format!("{LOCAL}api_key = \"sk-hidden\""), &[], true);
    let keyless = first(LOCAL, &[], true);
    let word = |ask, status| judged(ask, status).status;
    for status in [401, 302, 500, 529] {
        assert_eq!(word(&keyed, status), Status::Failed(Exit::Api), "{status}");
    }
    for status in [403, 404, 405, 429, 400] {
        assert_eq!(word(&keyed, status), Status::Warning, "{status}");
    }
    assert_eq!(word(&keyless, 401), Status::Warning, "no key was refused");
    let refused = judged(&keyed, 401);
    assert!(refused.detail.contains("refuses the key") && !format!("{refused:?}").contains("sk-hidden"), "{refused:?}");
    for status in [404, 401, 400, 500] {
        assert!(judged(&keyless, status).remedy.is_some(), "{status}");
    }
}

#[test]
fn a_key_that_can_be_read_on_the_way_is_warned_of() {
    let text = format!("{LOCAL}api_key = \"sk-hidden\"");
    assert_eq!(judged(&first(&text, &[], false), 200).status, Status::Warning);
    assert_eq!(judged(&first(&text, &[], true), 200).status, Status::Ok);
}

#[test]
fn pages_relays_and_silence_are_failures() {
    let ask = first(LOCAL, &[], true);
    let page = Answer::Head { status: StatusCode::OK, refused: false, page: true };
    let relay = Answer::Head { status: StatusCode::FORBIDDEN, refused: true, page: false };
    for (answer, exit) in [(page, Exit::Api), (relay, Exit::Proxy), (Answer::Nothing(Duration::from_secs(15)), Exit::Api)] {
        let check = ask.judge(answer, Duration::from_secs(15));
        assert_eq!(check.status, Status::Failed(exit), "{check:?}");
        assert!(check.remedy.is_some(), "{check:?}");
    }
}
