use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("test.toml"), &[]).map_err(|error| error.to_string())
}

#[test]
fn the_example_shows_every_default() {
    let (example, default) = (parse(EXAMPLE).expect("the example is valid"), Config::default());
    assert_eq!(format!("{:?}", example.limits), format!("{:?}", default.limits));
    assert_eq!((example.listen, example.admin), (default.listen, default.admin));
    let admin = format!("\n# listen = \"{}\"", AdminListen::DEFAULT);
    assert!(EXAMPLE.contains("\n[admin]\n") && EXAMPLE.contains(&admin), "the example lacks [admin]");
    assert!(EXAMPLE.contains("\n[proxy_protocol]\n") && example.proxies == default.proxies);
    assert!(EXAMPLE.contains("\n# workers = "), "the example lacks workers");
    assert!(EXAMPLE.contains("\n# node = "), "the example lacks node");
    assert_eq!(format!("{:?}", example.origins.list()), format!("{:?}", default.origins.list()));
    assert_eq!(example.dns, default.dns);
    assert_eq!((example.profile, example.headers), (default.profile, default.headers));
    for (rules, of_defaults) in
        [(&example.request_headers, &default.request_headers), (&example.response_headers, &default.response_headers)]
    {
        assert!(rules.is_empty() && of_defaults.is_empty());
    }
    for name in [
        "[client.\"*\"]",
        "[request_headers]",
        "[response_headers]",
        "keep = ",
        "drop = ",
        "set = ",
        "[dns]",
        "servers = ",
        "# [[origin]]",
        "# at = ",
        "# methods = ",
        "# paths = ",
        "# private = ",
        "# headers = ",
    ] {
        assert!(EXAMPLE.contains(&format!("\n{name}")), "the example lacks {name}");
    }
    let rule = |config: &Config| format!("{:?}", config.clients.rule("anybody"));
    assert_eq!(rule(&example), rule(&default));
    for shown in [rule(&default), format!("{:?}", default.limits)] {
        for name in shown.split_whitespace().filter_map(|word| word.strip_suffix(':')) {
            let (set, unset) = (format!("\n{name} = "), format!("\n# {name} = "));
            assert!(EXAMPLE.contains(&set) || EXAMPLE.contains(&unset), "the example lacks {name}");
        }
    }
}

#[test]
fn unknown_keys_are_refused_with_their_line() {
    for (text, place) in [
        ("lisen = '0.0.0.0:1'", "line 1, column 1"),
        ("[limits]\nsession = 1", "line 2, column 1"),
        ("[origins]\nalow = []", "line 2, column 1"),
        ("[dns]\nserver = []", "line 2, column 1"),
        ("[[origin]]\nat = 'https://x.example'\npath = []", "line 3, column 1"),
        ("\n[typo]", "line 2, column 2"),
        ("[response_headers]\n keeps = []", "line 2, column 2"),
    ] {
        let error = parse(text).expect_err("refused");
        assert!(error.contains("unknown field") && error.contains(place), "{error}");
    }
}

#[test]
fn rules_that_cannot_be_used_are_refused_with_their_table() {
    for (text, expected) in [
        ("[request_headers]\nkeep = ['host']", "[request_headers]: `host` is made anew"),
        ("[response_headers]\nkeep = ['a']\ndrop = ['A']", "[response_headers]: `a` stands in both"),
        ("[request_headers.set]\nx-team = 7", "`set` is a table of names and texts"),
    ] {
        let error = parse(text).expect_err("refused");
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_is_wrong_about_a_header_that_is_set_does_not_show_its_value() {
    for text in [
        "set = { authorization = \"secret",
        "set = { authorization = secret }",
        "set = { authorization = ['secret'] }",
        "set = 'secret'",
        "set = { authorization = \"secret\\n\" }",
        "set = { \"authorization: secret\" = '' }",
        "authorization = 'secret'",
        "keep = ['authorization: secret']",
    ] {
        let text = format!("[request_headers]\n{text}");
        let error = Config::parse(&text, Path::new("test.toml"), &[]).expect_err("refused");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret") && shown.contains("request_headers") | shown.contains("line 2"), "{shown}");
    }
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    for (text, key) in [
        ("[limits]\nsessions = 0", "limits.sessions"),
        ("[limits]\nexchanges = 70000", "limits.exchanges"),
        ("[limits]\nupload_credit = 1", "limits.upload_credit"),
        ("[limits]\nbuffered_bytes = 9223372036854775807", "limits.buffered_bytes"),
        ("[limits]\nhello_seconds = -1", "limits.hello_seconds"),
        ("[limits]\nstall_seconds = nan", "limits.stall_seconds"),
        ("[origins]\nallow = ['nonsense']", "nonsense"),
        ("[proxy_protocol]\nfrom = ['balancer']", "proxy_protocol.from: `balancer`"),
        ("profile = 'loud'", "profile"),
        ("[dns]\nservers = ['127.0.0.1:0']", "dns.servers"),
        ("[dns]\nservers = ['127.0.0.1']", "socket address"),
        ("workers = 0", "workers"),
        ("[admin]\nlisten = '50052'", "127.0.0.1:50052, or off"),
        ("workers = 1025", "workers"),
        ("[limits]\nunauthenticated = 0", "limits.unauthenticated"),
        ("[limits]\nmemory_bytes = 0", "limits.memory_bytes"),
        ("[client.laptop]\nburst = 0", "[client.laptop]: burst"),
        ("[client.laptop]\nprofile = 'loud'", "[client.laptop]: profile"),
        ("[client.'*']\norigins = ['nonsense']", "[client.*]: origins: `nonsense`"),
        ("[client.a]\nmodels = ['*']", "[client.a]: models: `*`"),
    ] {
        assert!(parse(text).expect_err("refused").contains(key), "{text}");
    }
}

#[test]
fn an_admin_listener_is_where_it_is_configured() {
    for (text, expected) in [
        ("", AdminListen::Default),
        ("[admin]", AdminListen::Default),
        ("[admin]\nlisten = 'off'", AdminListen::Off),
        ("[admin]\nlisten = '0.0.0.0:1'", AdminListen::At(([0, 0, 0, 0], 1).into())),
    ] {
        assert_eq!(parse(text).expect("valid").admin, expected, "{text}");
    }
}

#[test]
fn origins_from_flags_are_added() {
    let config = Config::parse("", Path::new("x"), &["http://127.0.0.1:1".into()]).expect("valid");
    assert!(config.origins.list().iter().any(|(origin, _)| origin == "http://127.0.0.1:1"));
}

#[test]
fn a_clients_own_table_stands_over_that_of_all() {
    let config = parse("[client.'*']\nsessions = 7\nburst = 5\n[client.a]\nsessions = 8\nmodels = ['gpt-*']").expect("valid");
    let values = |name| {
        let rule = config.clients.rule(name);
        (rule.sessions, rule.burst, rule.models.is_some())
    };
    assert_eq!((values("a"), values("b")), ((8, 5, true), (7, 5, false)));
}

#[test]
fn whatever_is_done_to_a_configuration_it_is_taken_or_refused_in_words_without_its_secrets() {
    let secret = "hush-hush-hush";
    let mut rng = fastrand::Rng::with_seed(1);
    let mut refused = 0;
    for _ in 0..3000 {
        // Settings of the example that it leaves at their defaults, and bytes that are lost, repeated or others.
        let shown = |line: &str| line.strip_prefix("# ").filter(|line| line.contains(" = ")).map(str::to_owned);
        let lines =
            EXAMPLE.lines().map(|line| shown(line).filter(|_| rng.u8(..) < 4).unwrap_or_else(|| line.to_owned()) + "\n");
        let mut bytes = lines.collect::<String>().into_bytes();
        for _ in 0..rng.usize(..4) {
            let at = rng.usize(..bytes.len());
            match rng.u8(..3) {
                0 => _ = bytes.remove(at),
                1 => bytes.insert(at, bytes[at]),
                _ => bytes[at] = rng.u8(b' '..b'~'),
            }
        }
        let text = String::from_utf8_lossy(&bytes).replacen("\nset = {}", &format!("\nset = {{ x-team = \"{secret}\" }}"), 1);
        if let Err(said) = parse(&text) {
            refused += 1;
            assert!(!said.is_empty() && !said.contains(secret), "{said}");
        }
    }
    assert!((300..2700).contains(&refused), "{refused} of 3000 are refused");
}
