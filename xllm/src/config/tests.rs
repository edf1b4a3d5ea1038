use super::*;

const SEED: &str = r#"
[global]
proxy = true
proxy_url = "http://your-proxy-server:50051"
proxy_key = "xllm1_secret"

[models.claude]
model = "claude-3-haiku-20240307"
max_tokens = 1024
anthropic_api_key = "${ANTHROPIC_API_KEY}"
url = "https://api.anthropic.com/v1/messages"

[models.openai]
model = "gpt-4o"
openai_api_key = "sk-literal"

[models.groq]
api_key = "${GROQ}"
url = "https://api.groq.com/openai/v1"

[aliases]
fast = "groq/llama"
deep = { provider = "anthropic", model = "claude-opus-4-5", max_tokens = 32000 }
"#;

fn parse(text: &str) -> Result<Config, Failure> {
    Config::parse("c.toml", text, &Env::of(&[("ANTHROPIC_API_KEY", "sk-env"), ("HOST", "example.org")]))
}

fn refusal(text: &str) -> String {
    parse(text).expect_err("refused").to_string()
}

#[test]
fn the_users_own_example_is_read() {
    let config = parse(SEED).expect("valid");
    assert_eq!(config.global.proxy, Some(true));
    let names: Vec<_> = config.providers.iter().map(|provider| (provider.name.as_str(), provider.api)).collect();
    assert_eq!(names, [("claude", Api::Anthropic), ("openai", Api::OpenAi), ("groq", Api::OpenAi)]);
    let key = config.providers[0].api_key.as_ref().expect("a key");
    assert_eq!((key.get().expect("set"), key.literal), ("sk-env", false));
    assert_eq!(config.providers[0].max_tokens, Some(1024));
    assert!(matches!(&config.aliases[1].meaning, Meaning::Model { provider, .. } if provider == "claude"));
}

#[test]
fn the_file_that_init_writes_is_valid() {
    parse(include_str!("../../data/config.toml")).expect("valid");
}

#[test]
fn a_variable_that_is_not_set_matters_only_when_wanted() {
    let config = parse(SEED).expect("valid");
    let key = config.providers[2].api_key.as_ref().expect("a key");
    assert_eq!((key.known(), key.missing_variable()), (None, Some("GROQ")));
    assert!(key.get().expect_err("unset").to_string().contains("c.toml:18: the environment variable GROQ is not set"));
}

#[test]
fn variables_are_put_in_anywhere_and_can_be_escaped() {
    for (written, read) in [
        ("http://${HOST}:1", "http://example.org:1"),
        ("a$b", "a$b"),
        ("$${HOST}", "${HOST}"),
        ("${HOST}${HOST}", "example.orgexample.org"),
    ] {
        let config = parse(&format!("[global]\nproxy_url = \"{written}\"")).expect("valid");
        assert_eq!(config.global.proxy_url.expect("set").get().expect("set"), read);
    }
    for broken in ["${HOST", "${}", "${a b}"] {
        assert!(refusal(&format!("[global]\nproxy_url = \"{broken}\"")).starts_with("c.toml:2: "));
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_its_nearest() {
    assert_eq!(
        refusal("[global]\nproxy = true\nproxy_ulr = \"x\""),
        "c.toml:3: unknown key `proxy_ulr` in [global]\n      did you mean `proxy_url`?"
    );
    assert_eq!(
        refusal("[models.claude]\nanthropic_key = \"x\""),
        "c.toml:2: unknown key `anthropic_key` in [models.claude]\n      did you mean `anthropic_api_key`?"
    );
    assert_eq!(refusal("\n[globl]"), "c.toml:2: unknown key `globl`\n      did you mean `global`?");
    assert!(refusal("[global]\nzzz = 1").contains("known keys here: proxy, proxy_url, proxy_key, model"));
}

#[test]
fn values_of_the_wrong_kind_are_named() {
    assert_eq!(refusal("[global]\nproxy = \"yes\""), "c.toml:2: `global.proxy` must be true or false, not a string");
    assert_eq!(
        refusal("[models.claude]\nmax_tokens = 0"),
        "c.toml:2: `models.claude.max_tokens` must be between 1 and 4294967295"
    );
    assert_eq!(refusal("global = 3"), "c.toml:1: `global` must be a table, not an integer");
    assert!(refusal("[models.x]\napi = \"grpc\"\nurl = \"u\"").contains("must be \"openai\" or \"anthropic\""));
    assert!(refusal("[models.claude]\napi = \"openai\"").contains("is fixed"));
    assert!(refusal("[models.groq]\napi_key = \"x\"").contains("needs a `url`"));
    assert!(refusal("[models.claude]\napi_key = \"x\"\nanthropic_api_key = \"y\"").contains("twice"));
    assert!(refusal("[aliases]\nx = { provider = \"openai\" }").contains("needs a `model`"));
}

#[test]
fn neither_errors_nor_debug_show_a_secret() {
    assert!(!format!("{:?}", parse(SEED).expect("valid")).contains("sk-literal"));
    for broken in [
        "[models.openai]\nopenai_api_key = sk-literal",
        "[models.openai]\nopenai_api_key = \"sk-literal",
        "[models.openai]\nopenai_api_key = [\"sk-literal\"]",
    ] {
        assert!(!refusal(broken).contains("sk-literal"), "{}", refusal(broken));
    }
}
