use clap::Parser as _;

use super::*;
use crate::args::Cli;

const PROXY: &str = "[global]\nproxy = true\nproxy_url = \"http://relay:50051\"\n";

fn plan(line: &str, config: &str, env: &[(&str, &str)]) -> Result<Plan, Failure> {
    let env = Env::of(&[env, &[("XLLM_NO_KEYRING", "1")]].concat());
    let cli = Cli::try_parse_from(["xllm"].into_iter().chain(line.split_whitespace())).expect("the line parses");
    let config = Config::parse("c.toml", config, &env)?;
    Plan::new(&cli.chat, vec![Part::Text("hi".into())], &config, &env)
}

fn model(line: &str, config: &str, env: &[(&str, &str)]) -> String {
    plan(line, config, env)
        .map_or_else(|failure| failure.to_string(), |plan| format!("{}/{}", plan.target.provider, plan.target.model))
}

#[test]
fn a_key_in_the_environment_is_enough() {
    let plan = plan("hi", "", &[("OPENAI_API_KEY", "sk-1")]).expect("enough");
    assert!(matches!(plan.route, Route::Direct));
    assert_eq!(plan.target.url.as_str(), "https://api.openai.com/v1/chat/completions");
    assert_eq!((plan.target.model.as_str(), plan.target.max_tokens), ("gpt-5-mini", None));
    assert_eq!(model("hi", "", &[("ANTHROPIC_API_KEY", "sk")]), "claude/claude-haiku-4-5");
    assert!(model("hi", "", &[]).contains("no API key yet"));
}

#[test]
fn the_model_comes_from_the_flag_then_the_environment_then_the_file() {
    let config = "[global]\nmodel = \"opus\"\n[models.openai]\nmodel = \"gpt-4o\"";
    let keys = [("OPENAI_API_KEY", "a"), ("ANTHROPIC_API_KEY", "b")];
    assert_eq!(model("hi", config, &keys), "claude/claude-opus-4-5");
    assert_eq!(model("hi", config, &[&keys[..], &[("XLLM_MODEL", "mini")]].concat()), "openai/gpt-5-mini");
    assert_eq!(model("-m sonnet hi", config, &[&keys[..], &[("XLLM_MODEL", "mini")]].concat()), "claude/claude-sonnet-4-5");
    assert_eq!(model("hi", "[models.openai]\nmodel = \"gpt-4o\"", &keys), "openai/gpt-4o");
    assert_eq!(
        model("hi", "[models.claude]\nmodel = \"opus\"\n[models.openai]\nmodel = \"gpt-4o\"", &keys[..1]),
        "openai/gpt-4o"
    );
}

#[test]
fn the_proxy_is_named_by_flag_environment_or_file() {
    let key = ("XLLM_PROXY_KEY", "xllm1_k");
    for (line, config, env, wanted) in [
        ("hi", PROXY, vec![key], Some("http://relay:50051")),
        ("--proxy-url b:1 hi", PROXY, vec![key], Some("b:1")),
        ("hi", PROXY, vec![key, ("XLLM_PROXY_URL", "c:1")], Some("c:1")),
        ("hi", "[global]\nproxy = false\nproxy_url = \"x\"", vec![("ANTHROPIC_API_KEY", "k")], None),
        ("--no-proxy hi", PROXY, vec![key, ("ANTHROPIC_API_KEY", "k")], None),
        ("hi", "[global]\nproxy_url = \"d:1\"\nproxy_key = \"xllm1_f\"", vec![], Some("d:1")),
    ] {
        let route = plan(line, config, &env).expect("planned").route;
        let url = if let Route::Proxy { url, .. } = &route { Some(url.as_str()) } else { None };
        assert_eq!(url, wanted, "{line} {config}");
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_never_gone_around() {
    let failure = plan("hi", PROXY, &[("ANTHROPIC_API_KEY", "k")]).expect_err("no proxy key");
    assert_eq!(failure.exit.code(), 3);
    assert!(failure.to_string().contains("xllm key set"));
    let failure = plan("hi", "[global]\nproxy = true", &[("ANTHROPIC_API_KEY", "k")]).expect_err("no url");
    assert_eq!(failure.exit.code(), 2);
}

#[test]
fn through_the_proxy_an_api_key_may_be_missing() {
    let plan = plan("-m haiku hi", PROXY, &[("XLLM_PROXY_KEY", "xllm1_k")]).expect("the server may hold it");
    assert!(plan.target.key.is_none());
    assert!(model("-m haiku hi", "", &[]).contains("no API key for claude"));
    let said = model("-m haiku hi", "[models.claude]\napi_key = \"${MINE}\"", &[]);
    assert!(said.contains("MINE is not set"), "{said}");
}

#[test]
fn a_key_from_the_environment_goes_to_the_providers_own_address_alone() {
    let elsewhere = "[models.claude]\nurl = \"https://elsewhere.example\"";
    assert!(
        plan("-m haiku hi", elsewhere, &[("ANTHROPIC_API_KEY", "k")]).expect("a server may need none").target.key.is_none()
    );
    let named = format!("{elsewhere}\napi_key = \"${{ANTHROPIC_API_KEY}}\"");
    assert!(plan("-m haiku hi", &named, &[("ANTHROPIC_API_KEY", "k")]).expect("named").target.key.is_some());
}

#[test]
fn max_tokens_comes_from_the_flag_the_file_or_the_alias() {
    let key = [("ANTHROPIC_API_KEY", "k")];
    let max = |line: &str, config: &str| plan(line, config, &key).expect("planned").target.max_tokens;
    assert_eq!(max("-m haiku3 hi", ""), Some(4096));
    assert_eq!(max("-m claude-new hi", ""), Some(8192));
    assert_eq!(max("-m haiku3 hi", "[models.claude]\nmax_tokens = 7"), Some(7));
    assert_eq!(max("-m haiku3 -t 5 hi", "[models.claude]\nmax_tokens = 7"), Some(5));
}

#[test]
fn option_values_are_json_or_else_strings() {
    let made =
        plan("-o temperature=0.5 -o user=me -o stop=[\"x\"] -o a=b=c hi", "", &[("OPENAI_API_KEY", "k")]).expect("planned");
    let values: Vec<String> = made.ask.extra.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    assert_eq!(values, ["temperature:0.5", "user:\"me\"", "stop:[\"x\"]", "a:\"b=c\""]);
    for wrong in ["-o x hi", "-o =x hi", "-o stream=true hi"] {
        assert_eq!(plan(wrong, "", &[("OPENAI_API_KEY", "k")]).expect_err("refused").exit.code(), 2);
    }
}

#[test]
fn a_key_in_the_open_is_warned_of_and_debug_hides_it() {
    let config = "[models.x]\nurl = \"http://far.example\"\napi_key = \"sk-hidden\"\nmodel = \"m\"";
    let plan = plan("-m x hi", config, &[]).expect("planned");
    assert!(plan.warnings[0].contains("unencrypted"));
    assert!(!format!("{plan:?}").contains("sk-hidden"));
}
