//! Flags, environment and configuration, made into what the gateway does.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{guard::Guard, headers::Headers, refusal::Shape, route::Routes};
use crate::{
    aliases::Catalog,
    args::GatewayArgs,
    config::Config,
    env::Env,
    exit::Failure,
    options::{Route, route},
    secret::Secret,
};

/// Where it listens unless it is told otherwise.
const PORT: u16 = 8787;
/// How long a request waits for a proxy that is away, seconds. Shorter than any SDK waits for an answer.
const WAIT: u32 = 10;
/// A shorter token could be guessed.
const TOKEN_MIN: usize = 16;
/// What stands where a program insists on a key that the gateway replaces.
const PLACEHOLDER: &str = "held-by-xllm-gateway";

/// The variables that SDKs read their base URL from, the routes that these lead to, and who is expected there.
const LINKED: [(&str, &str, &str, Shape); 3] = [
    ("OPENAI_BASE_URL", "openai", "/v1", Shape::OpenAi),
    ("ANTHROPIC_BASE_URL", "anthropic", "", Shape::Anthropic),
    ("GOOGLE_GEMINI_BASE_URL", "gemini", "", Shape::Gemini),
];

/// All settings.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) proxy_url: String,
    pub(super) proxy_key: Secret,
    pub(super) nodes: Vec<(String, String)>,
    pub(super) listen: SocketAddr,
    pub(super) guard: Guard,
    pub(super) headers: Headers,
    pub(super) heartbeat: Option<Duration>,
    pub(super) wait: Duration,
    pub(super) routes: Routes,
    /// What is wrong with routes that were left out.
    pub(super) remarks: Vec<String>,
}

impl Settings {
    pub(super) fn new(args: &GatewayArgs, config: &Config, env: &Env) -> Result<Self, Failure> {
        let Route::Proxy { url: proxy_url, key: proxy_key, nodes } = route(&args.connection, config, env)? else {
            return Err(Failure::usage("the gateway is the way through a proxy, and no proxy is set")
                .remedy("set proxy_url in [global] of the configuration (xllm --init writes one), or use --proxy-url"));
        };
        let file = &config.gateway;
        let listen = listen(args, config)?;
        let token = match env.get("XLLM_GATEWAY_TOKEN") {
            // A program that is run has none.
            _ if !args.command.is_empty() => None,
            Some(token) => Some(Secret::new(token)),
            None => file.token.as_ref().map(|token| token.get().map(Secret::new)).transpose()?,
        };
        let (mut routes, faults) = Routes::new(&Catalog::new(config)?, env);
        if args.caller_keys || file.caller_keys == Some(true) {
            routes.yield_to_callers();
        }
        let policy = match (&args.headers, &file.headers) {
            (Some(policy), _) => policy,
            (None, Some(policy)) => policy.get()?,
            (None, None) => "sdk",
        };
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Ok(Self {
            proxy_url,
            proxy_key,
            nodes,
            listen,
            guard: guard(listen, args, token)?,
            headers: Headers::new(policy, &file.request_headers, &file.response_headers)?,
            heartbeat: args.heartbeat.or(file.heartbeat).map(seconds),
            wait: seconds(args.wait.or(file.wait).unwrap_or(WAIT)),
            routes,
            remarks: faults.iter().map(|fault| format!("a provider is left out: {fault}")).collect(),
        })
    }

    /// The variables that lead programs here, as they are listening at `address`: name and value.
    pub(super) fn links(&self, address: SocketAddr) -> Vec<(String, String)> {
        let host = if address.ip().is_unspecified() { (Ipv4Addr::LOCALHOST, address.port()).into() } else { address };
        self.linked().map(|(variable, name, rest)| (variable.to_owned(), format!("http://{host}/{name}{rest}"))).collect()
    }

    /// Those of [`LINKED`] whose route leads where its programs expect.
    fn linked(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let expected = |name, shape| self.routes.provider(name).is_some_and(|own| own.shape == shape);
        LINKED
            .iter()
            .filter(move |(_, name, _, shape)| expected(name, *shape))
            .map(|(variable, name, rest, _)| (*variable, *name, *rest))
    }

    /// The variables of keys that programs insist on although any will do, as far as they are not set.
    pub(super) fn placeholders(&self, env: &Env) -> Vec<(String, String)> {
        // Where a token is asked for, nothing else will do.
        if matches!(self.guard, Guard::Token(_)) {
            return Vec::new();
        }
        let replaced = self.routes.providers().iter().filter(|provider| provider.key.replaces());
        let variables =
            replaced.filter_map(|provider| provider.key_env.as_deref()).filter(|variable| env.get(variable).is_none());
        variables
            // The SDKs of Anthropic take either.
            .filter(|variable| *variable != "ANTHROPIC_API_KEY" || env.get("ANTHROPIC_AUTH_TOKEN").is_none())
            .map(|variable| (variable.to_owned(), PLACEHOLDER.to_owned()))
            .collect()
    }

    /// Routes beside those of the links.
    pub(super) fn others(&self) -> String {
        let mut others: Vec<_> =
            self.routes.names().filter(|name| !self.linked().any(|(_, linked, _)| linked == *name)).collect();
        others.push("x/https/HOST");
        format!("/{}/…", others.join("/… /"))
    }
}

/// A program that is run gets a gateway of its own.
fn listen(args: &GatewayArgs, config: &Config) -> Result<SocketAddr, Failure> {
    if let Some(listen) = args.listen {
        return Ok(listen);
    }
    if !args.command.is_empty() {
        return Ok((Ipv4Addr::LOCALHOST, 0).into());
    }
    let Some(listen) = &config.gateway.listen else { return Ok((Ipv4Addr::LOCALHOST, PORT).into()) };
    let parsed = listen.get()?.parse();
    parsed.map_err(|_| {
        Failure::usage("[gateway] listen is no address and port").remedy("for example listen = \"127.0.0.1:8787\"")
    })
}

/// Who may call. A program that is run calls with keys of its own: its gateway is for this machine alone.
fn guard(listen: SocketAddr, args: &GatewayArgs, token: Option<Secret>) -> Result<Guard, Failure> {
    let local = listen.ip().is_loopback();
    if !args.command.is_empty() {
        return if local {
            Ok(Guard::Local)
        } else {
            Err(Failure::usage("with a COMMAND, the gateway listens on this machine alone"))
        };
    }
    if let Some(token) = &token
        && token.expose().len() < TOKEN_MIN
    {
        return Err(Failure::usage(format!("the gateway's token has fewer than {TOKEN_MIN} characters"))
            .remedy("make one with: openssl rand -hex 16"));
    }
    match token {
        _ if !local && !args.allow_remote => {
            Err(Failure::usage(format!("{listen} can be reached from other machines, and the gateway may add your API keys"))
                .remedy("listen on 127.0.0.1, or add --allow-remote and a token in XLLM_GATEWAY_TOKEN"))
        }
        None if !local => Err(Failure::usage("beyond this machine, callers have to present a token")
            .remedy("export XLLM_GATEWAY_TOKEN=… (or [gateway] token), made with: openssl rand -hex 16")),
        Some(token) => Ok(Guard::Token(token)),
        None => Ok(Guard::Local),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "[global]\nproxy_url = \"http://p.example:1\"\nproxy_key = \"xllm1_x\"\n";

    fn settings(args: &GatewayArgs, file: &str, env: &[(&str, &str)]) -> Result<Settings, String> {
        let env = Env::of(&[env, &[("XLLM_NO_KEYRING", "1")]].concat());
        let config = Config::parse("c.toml", &format!("{PROXY}{file}"), &env).expect("valid");
        Settings::new(args, &config, &env).map_err(|failure| failure.to_string())
    }

    fn args(listen: &str, allow_remote: bool) -> GatewayArgs {
        GatewayArgs { listen: Some(listen.parse().expect("an address")), allow_remote, ..GatewayArgs::default() }
    }

    #[test]
    fn beyond_this_machine_it_takes_a_flag_and_a_token() {
        let token = [("XLLM_GATEWAY_TOKEN", "0123456789abcdef")];
        for listen in ["0.0.0.0:1", "10.0.0.1:1", "[::]:1"] {
            assert!(settings(&args(listen, false), "", &token).expect_err("no flag").contains("--allow-remote"));
            assert!(settings(&args(listen, true), "", &[]).expect_err("no token").contains("XLLM_GATEWAY_TOKEN"));
            assert!(matches!(settings(&args(listen, true), "", &token).expect("allowed").guard, Guard::Token(_)));
        }
        for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
            assert!(matches!(settings(&args(listen, false), "", &[]).expect("local").guard, Guard::Local));
        }
        let short = settings(&args("127.0.0.1:1", false), "[gateway]\ntoken = \"short\"", &[]);
        assert!(short.expect_err("guessable").contains("16"));
    }

    #[test]
    fn flags_come_before_the_file_and_a_program_gets_a_port_of_its_own() {
        let file = "[gateway]\nlisten = \"127.0.0.1:99\"\nheartbeat = 5\nwait = 3\nheaders = \"pass\"";
        let from_file = settings(&GatewayArgs::default(), file, &[]).expect("valid");
        assert_eq!((from_file.listen.port(), from_file.heartbeat), (99, Some(Duration::from_secs(5))));
        assert_eq!(from_file.wait, Duration::from_secs(3));
        let flags = GatewayArgs { heartbeat: Some(7), wait: Some(0), ..args("127.0.0.1:98", false) };
        let from_flags = settings(&flags, file, &[]).expect("valid");
        assert_eq!((from_flags.listen.port(), from_flags.heartbeat), (98, Some(Duration::from_secs(7))));
        assert_eq!(from_flags.wait, Duration::ZERO);
        let program = GatewayArgs { command: vec!["true".into()], ..GatewayArgs::default() };
        assert_eq!(settings(&program, file, &[]).expect("valid").listen.port(), 0);
        let beyond = GatewayArgs { command: program.command.clone(), ..args("0.0.0.0:1", true) };
        assert!(settings(&beyond, file, &[]).expect_err("refused").contains("this machine alone"));
        let token = "[gateway]\ntoken = \"${UNSET}\"";
        assert!(settings(&program, token, &[]).is_ok(), "a program needs none");
        assert_eq!(settings(&GatewayArgs::default(), "", &[]).expect("valid").listen.to_string(), "127.0.0.1:8787");
    }

    #[test]
    fn a_provider_that_is_not_what_its_programs_expect_is_listed_and_not_linked() {
        let file = "[models.gemini]\nurl = \"https://generativelanguage.googleapis.com/v1beta/openai\"";
        let settings = settings(&GatewayArgs::default(), file, &[]).expect("valid");
        assert_eq!(settings.links(([127, 0, 0, 1], 5).into()).len(), 2);
        assert_eq!(settings.others(), "/gemini/… /x/https/HOST/…");
    }

    #[test]
    fn programs_are_led_here_by_their_own_variables() {
        let settings = settings(&GatewayArgs::default(), "[models.openai]\napi_key = \"sk\"\n", &[]).expect("valid");
        let lines: Vec<_> =
            settings.links(([127, 0, 0, 1], 5).into()).iter().map(|(name, url)| format!("{name}={url}")).collect();
        assert_eq!(
            lines,
            [
                "OPENAI_BASE_URL=http://127.0.0.1:5/openai/v1",
                "ANTHROPIC_BASE_URL=http://127.0.0.1:5/anthropic",
                "GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:5/gemini",
            ]
        );
        let names = |env: &[(&str, &str)]| -> Vec<String> {
            settings.placeholders(&Env::of(env)).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&[]), ["OPENAI_API_KEY"]);
        assert!(names(&[("OPENAI_API_KEY", "own")]).is_empty());
    }

    #[test]
    fn without_a_proxy_there_is_nothing_to_be_a_gateway_to() {
        let env = Env::of(&[("XLLM_NO_KEYRING", "1")]);
        let failure = Settings::new(&GatewayArgs::default(), &Config::default(), &env).expect_err("refused");
        assert!(failure.to_string().contains("proxy_url"), "{failure}");
    }
}
