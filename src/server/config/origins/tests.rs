use std::path::Path;

use super::*;
use crate::{http::check_url, server::config::Config};

const VARIABLES: Variables<'static> = &|name| match name {
    "KEY" => Some("sk-secret-1234".into()),
    "BROKEN" => Some("sk-secret\r\nx: y".into()),
    _ => None,
};

/// The allow-list of these entries alone.
fn origins(entries: &str) -> Result<Origins, ConfigError> {
    #[derive(Deserialize)]
    struct Entries {
        origin: Vec<OriginFile>,
    }
    let Entries { origin } = toml::from_str(entries).unwrap_or_else(|error| panic!("{error}"));
    read(&OriginsFile { known: false, allow: Vec::new() }, origin, VARIABLES)
}

#[test]
fn an_entry_says_what_holds_for_its_origin() {
    let list = r#"
        [[origin]]
        at = "https://API.openai.com:443"
        methods = ["GET", "POST"]
        paths = ["/v1/"]
        headers = { authorization = "Bearer ${KEY}", x-team = "research" }
        [[origin]]
        at = "https://*.example.com:8443"
        private = true
        [[origin]]
        at = "https://llm.example.com"
        private = false
        [[origin]]
        at = "http://127.0.0.1:11434"
    "#;
    let origins = origins(list).expect("valid");
    let shown: Vec<_> = origins.list().into_iter().map(|(origin, rule)| format!("{origin} {rule}")).collect();
    assert_eq!(
        shown,
        [
            "http://127.0.0.1:11434 private addresses, too",
            "https://*.example.com:8443 private addresses, too",
            "https://api.openai.com GET, POST; /v1/; adds authorization, x-team",
            "https://llm.example.com ",
        ]
    );
    let rule = origins.judge(&Method::GET, &check_url("https://api.openai.com/v1/models").expect("a URL")).expect("allowed");
    let mut headers = http::HeaderMap::new();
    rule.add(&mut headers);
    assert_eq!(headers["authorization"], "Bearer sk-secret-1234");
}

#[test]
fn what_is_wrong_names_the_origin_and_no_value() {
    for (entry, expected) in [
        ("at = 'api.example.com'", "`api.example.com` is not an origin"),
        ("at = 'https://u:secret@api.example.com'", "`api.example.com` is not an origin"),
        ("at = 'https://*.com'", "`https://*.com`: a `*` stands for"),
        ("methods = []", "methods is empty"),
        ("methods = ['get']", "methods: one of them"),
        ("methods = ['TRACE']", "methods: one of them"),
        ("paths = []", "paths is empty"),
        ("paths = ['v1']", "paths: `v1`"),
        ("paths = ['/v1/%2e']", "paths: `/v1/%2e`"),
        ("at = 'http://127.0.0.1:1'\nprivate = true", "private says where a name may lead"),
        ("headers = { host = 'secret' }", "headers: `host` is made anew"),
        ("headers = { x-key = '${MISSING}' }", "headers: `x-key`: the environment variable MISSING is not set"),
        ("headers = { x-key = '${BROKEN}' }", "headers: the value of `x-key` has a line break"),
        ("headers = { x-key = '$secret' }", "headers: `x-key`: a `$` begins"),
        ("headers = { 'x-key: secret' = '${MISSING}' }", "headers: `x-key`"),
        ("headers = { x-key = '${file:/no/such/file}' }", "/no/such/file: "),
        ("headers = { x-key = '${credential:x}' }", "$CREDENTIALS_DIRECTORY is not set"),
        ("at = 'http://api.example.com'\nheaders = { x-key = '${KEY}' }", "headers go over https"),
        ("at = 'http://1.1.1.1'\nheaders = { x-key = '${KEY}' }", "headers go over https"),
        ("at = 'https://*.example.com'\nheaders = { x-key = '${KEY}' }", "anybody may have a name below another"),
    ] {
        let at = if entry.starts_with("at") { "" } else { "at = 'https://api.example.com'\n" };
        let error = origins(&format!("[[origin]]\n{at}{entry}")).expect_err(entry);
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("[[origin]] at = ") && shown.contains(expected) && !shown.contains("secret"), "{shown}");
    }
    let twice = "[[origin]]\nat = 'https://a.example'\n[[origin]]\nat = 'https://A.example:443/'";
    assert!(origins(twice).expect_err("refused").to_string().contains("another entry for https://a.example"));
}

#[test]
fn a_key_may_go_in_the_clear_where_nobody_else_reads_it() {
    for at in ["http://localhost:8000", "http://127.0.0.1:8000", "http://10.0.0.7", "http://[::1]:8000", "https://x.example"] {
        assert!(origins(&format!("[[origin]]\nat = '{at}'\nheaders = {{ x-key = '${{KEY}}' }}")).is_ok(), "{at}");
    }
}

#[test]
fn no_text_of_a_configuration_shows_a_key() {
    let file = "[[origin]]\nat = 'https://api.example.com'\nheaders = { authorization = 'Bearer sk-secret', x-b = 'secret' }";
    let config = Config::parse(file, Path::new("test.toml"), &[]).expect("valid");
    let rules: Vec<_> = config.origins.list().into_iter().map(|(origin, rule)| format!("{origin} {rule}")).collect();
    let shown = format!("{config:?} {rules:?}");
    assert!(!shown.contains("secret") && shown.contains("authorization") && shown.contains("adds "), "{shown}");
    for wrong in
        ["headers = 'secret'", "headers = { a = ['secret'] }", "headers = { a = \"secret\\n\" }", "headers = { a = \"secret"]
    {
        let file = format!("[[origin]]\nat = 'https://api.example.com'\n{wrong}");
        let error = Config::parse(&file, Path::new("test.toml"), &[]).expect_err("refused");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret") && shown.contains("line 3") | shown.contains("api.example.com"), "{shown}");
    }
}
