//! Whose API key a request carries.

use crate::{
    caller::{BOTH, Http},
    support::{Start, World},
};

const OWN: [(&str, &str); 2] = [("x-api-key", "sk-own"), ("authorization", "Bearer sk-own")];
const CREDENTIALS: [&str; 3] = ["authorization", "x-api-key", "x-goog-api-key"];

/// The credentials that the upstream sees for a caller that sends these.
async fn seen(world: &World, start: Start<'_>, path: &str, sent: &[(&str, &str)]) -> Vec<String> {
    let gateway = world.start(start).await;
    let request = sent.iter().fold(gateway.get(path), |request, (name, value)| request.header(*name, *value));
    gateway.ask(Http::One, request).await;
    let request = world.mock.requests().pop().expect("it was called");
    let credentials = CREDENTIALS.iter().filter_map(|name| Some(format!("{name}: {}", request.header(name)?)));
    credentials.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_keys_pass_as_they_were_sent() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let by_address = format!("{}/v1/models", world.by_address());
    for path in ["/anthropic/v1/models", "/openai/v1/models", "/local/v1/models", &by_address] {
        for (name, value) in OWN {
            for http in BOTH {
                gateway.ask(http, gateway.get(path).header(name, value)).await;
                let request = world.mock.requests().pop().expect("it was called");
                assert_eq!(request.header(name), Some(value), "{path}");
                assert_eq!(CREDENTIALS.iter().filter(|name| request.header(name).is_some()).count(), 1, "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_key_stands_in_for_whatever_callers_send() {
    let world = World::new().await;
    for sent in [&[][..], &OWN[..1], &OWN[1..], &OWN, &[("x-goog-api-key", "x")]] {
        let start = || Start { claude: "api_key = \"sk-ant\"", openai: "api_key = \"sk-oai\"", ..Start::default() };
        assert_eq!(seen(&world, start(), "/anthropic/v1/models", sent).await, ["x-api-key: sk-ant"]);
        assert_eq!(seen(&world, start(), "/openai/v1/models", sent).await, ["authorization: Bearer sk-oai"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_key_goes_to_its_own_provider_alone() {
    let world = World::new().await;
    let start = || Start { claude: "api_key = \"sk-ant\"", openai: "api_key = \"sk-oai\"", ..Start::default() };
    assert!(seen(&world, start(), "/local/v1/models", &[]).await.is_empty());
    assert!(seen(&world, start(), &format!("{}/v1/models", world.by_address()), &[]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_keys_come_first_where_that_is_asked_for() {
    let world = World::new().await;
    let flag = || Start { args: &["--caller-keys"], claude: "api_key = \"sk-ant\"", ..Start::default() };
    let file = || Start { config: "[gateway]\ncaller_keys = true", claude: "api_key = \"sk-ant\"", ..Start::default() };
    for (name, value) in OWN {
        let expected = [format!("{name}: {value}")];
        assert_eq!(seen(&world, flag(), "/anthropic/v1/models", &[(name, value)]).await, expected);
        assert_eq!(seen(&world, file(), "/anthropic/v1/models", &[(name, value)]).await, expected);
    }
    assert_eq!(seen(&world, flag(), "/anthropic/v1/models", &[]).await, ["x-api-key: sk-ant"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_environment_is_not_sent_to_another_address() {
    let world = World::new().await;
    let env = [("ANTHROPIC_API_KEY", "sk-env"), ("OPENAI_API_KEY", "sk-env"), ("GEMINI_API_KEY", "sk-env")];
    for path in ["/anthropic/v1/models", "/openai/v1/models", "/local/v1/models", &format!("{}/x", world.by_address())] {
        assert!(seen(&world, Start { env: &env, ..Start::default() }, path, &[]).await.is_empty(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_may_name_the_variable_for_another_address() {
    let world = World::new().await;
    let start = Start { env: &[("MY_KEY", "sk-env")], claude: "api_key = \"${MY_KEY}\"", ..Start::default() };
    assert_eq!(seen(&world, start, "/anthropic/v1/models", &[]).await, ["x-api-key: sk-env"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriptions_token_goes_as_a_bearer() {
    let world = World::new().await;
    let start = Start { claude: "api_key = \"sk-ant-oat01-x\"", ..Start::default() };
    let seen = seen(&world, start, "/anthropic/v1/models", &[("x-api-key", "placeholder")]).await;
    assert_eq!(seen, ["authorization: Bearer sk-ant-oat01-x"]);
}
