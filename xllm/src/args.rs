//! The command line, typed. What it means together with configuration and
//! environment is worked out in `options`.

mod bench;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

pub(crate) use bench::{ApiName, BenchArgs, Spread};
use clap::{Args, Parser, Subcommand, ValueHint};

const EXAMPLES: &str = "\
Examples:
  xllm -m haiku3 \"Hello world\"
  git diff | xllm \"Write a commit message\"
  xllm --file photo.jpg --file notes.md \"What do these have in common?\"
  xllm -m openai/gpt-5-mini -o reasoning_effort=low \"Why is the sky blue?\"
  xllm demo               needs no key and no set-up
  xllm gateway -- claude  any program, its API calls through the relay
  xllm doctor             says what is wrong
  xllm bench --demo       measures what the relay adds
  xllm -- models          a prompt that is also a subcommand's name

Exit codes: 0 done · 1 the API's error · 2 usage or configuration
            3 proxy, its key or network · 130 Ctrl-C";

/// Talk to LLMs from the shell, through the encrypted relay xllm-proxy.
#[derive(Debug, Parser)]
#[command(
    name = "xllm",
    version,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    override_usage = "xllm [OPTIONS] [PROMPT]...\n       xllm <COMMAND>",
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) chat: ChatArgs,
}

/// What else it can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch an answer come through the encrypted relay; needs no key, no network, no set-up
    Demo(DemoArgs),
    /// Carry any SDK or program through the relay: a local endpoint to set as its base URL
    Gateway(GatewayArgs),
    /// Measure what the relay adds: the same prompts direct and through it, in turn
    Bench(Box<BenchArgs>),
    /// List the models and where their keys come from
    Models(ModelsArgs),
    /// Keep the proxy's credential in the system keyring
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print a completion script for SHELL
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
    /// Say what is wrong: configuration, key, proxy and providers, one line each
    Doctor(DoctorArgs),
}

/// `xllm demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// What to ask the mock provider [default: Hello world]
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Vec<String>,
}

const GATEWAY_EXAMPLES: &str = "\
Examples:
  xllm gateway                       prints the base URLs to set, and serves
  xllm gateway -- claude             runs Claude Code with them set, ends with its exit code
  xllm gateway -- python agent.py
  curl http://127.0.0.1:8787/openai/v1/models
  curl http://127.0.0.1:8787/x/https/api.mistral.ai/v1/models    any origin that the server allows

Routes: /openai/v1/…, /anthropic/…, /gemini/…, /NAME/… for each [models.NAME] of the
configuration, /x/https/HOST/… for the rest. Settings: [gateway] of the configuration.";

/// `xllm gateway`
#[derive(Debug, Default, Args)]
#[command(after_help = GATEWAY_EXAMPLES)]
pub(crate) struct GatewayArgs {
    /// Address to listen on [default: 127.0.0.1:8787; with COMMAND, any free port]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,

    /// Allow to listen beyond this machine; callers then have to present the token
    /// in `XLLM_GATEWAY_TOKEN` or `[gateway] token`
    #[arg(long)]
    pub(crate) allow_remote: bool,

    /// Header policy: neutral, sdk or pass (see docs/headers.md) [default: sdk]
    #[arg(long, value_name = "POLICY")]
    pub(crate) headers: Option<String>,

    /// Write a comment into a silent event stream every so many seconds, for callers that
    /// give up on silence
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) heartbeat: Option<u32>,

    /// How long a request waits for a proxy that is away [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<u32>,

    /// Send the callers' own API keys, also where the configuration has one
    #[arg(long)]
    pub(crate) caller_keys: bool,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    /// Run this with the base URLs set, and end with its exit code
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// `xllm models`
#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// `xllm doctor`
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print a JSON array of what was found
    #[arg(long)]
    pub(crate) json: bool,

    /// How long each wait may take
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) timeout: u16,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// `xllm key …`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum KeyCommand {
    /// Store the credential, read from standard input or asked for without echo
    Set,
    /// Show the public ID of the credential in use, and where it comes from
    ShowId,
    /// Remove the credential from the keyring
    Remove,
}

/// Where requests go; shared by the subcommands that make or describe them.
#[derive(Debug, Default, Args)]
pub(crate) struct ConnectionArgs {
    /// Use this configuration file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Connection")]
    pub(crate) config: Option<PathBuf>,

    /// Go through this proxy: http://HOST:PORT
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub(crate) proxy_url: Option<String>,

    /// Go straight to the API
    #[arg(long, conflicts_with = "proxy_url", help_heading = "Connection")]
    pub(crate) no_proxy: bool,

    /// Say on stderr what is done (never secrets)
    #[arg(short, long, help_heading = "Connection")]
    pub(crate) verbose: bool,
}

/// A chat: the command without a subcommand.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "one field a flag")]
pub(crate) struct ChatArgs {
    /// What to ask; without it, standard input is the prompt, with it, the context
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Vec<String>,

    /// Alias, unique prefix of one, model ID, or PROVIDER/MODEL (see `xllm models`)
    #[arg(short, long, help_heading = "Model")]
    pub(crate) model: Option<String>,

    /// Longest answer, in tokens
    #[arg(short = 't', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Model")]
    pub(crate) max_tokens: Option<u32>,

    /// System prompt
    #[arg(short, long, value_name = "TEXT", help_heading = "Model")]
    pub(crate) system: Option<String>,

    /// Attach a text file or an image (repeatable)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Model")]
    pub(crate) file: Vec<PathBuf>,

    /// Set a field of the API's request; VALUE is JSON or else a string (repeatable)
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE", help_heading = "Model")]
    pub(crate) option: Vec<String>,

    /// Wait for the whole answer
    #[arg(long, help_heading = "Output")]
    pub(crate) no_stream: bool,

    /// Print the API's own JSON, one event a line
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,

    /// Print the text as it came, no markdown
    #[arg(long, help_heading = "Output")]
    pub(crate) raw: bool,

    /// Report tokens and speed on stderr
    #[arg(short, long, help_heading = "Output")]
    pub(crate) usage: bool,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    /// Write a commented configuration file
    #[arg(long, conflicts_with_all = ["prompt", "model", "file", "no_proxy"], help_heading = "Setup")]
    pub(crate) init: bool,

    /// With --init: overwrite the file
    #[arg(long, requires = "init", conflicts_with = "prompt", help_heading = "Setup")]
    pub(crate) force: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(words: &[&str]) -> Cli {
        Cli::try_parse_from([&["xllm"], words].concat()).expect("the line parses")
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bare_prompt_needs_no_subcommand() {
        let cli = parse(&["Hello", "world"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.chat.prompt, ["Hello", "world"]);
    }

    #[test]
    fn a_subcommands_name_is_a_prompt_after_two_dashes_or_a_flag() {
        assert!(matches!(parse(&["models"]).command, Some(Command::Models(_))));
        for line in [&["--", "models"][..], &["-m", "haiku", "models"]] {
            let cli = parse(line);
            assert!(cli.command.is_none());
            assert_eq!(cli.chat.prompt, ["models"]);
        }
    }

    #[test]
    fn near_misses_of_subcommands_are_prompts() {
        for word in ["model", "help", "modles"] {
            assert_eq!(parse(&[word]).chat.prompt, [word]);
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [&["--proxy-url", "h:1", "--no-proxy", "x"][..], &["--force", "x"], &["--init", "x"], &["-t", "0", "x"]] {
            assert!(Cli::try_parse_from([&["xllm"], line].concat()).is_err(), "{line:?}");
        }
    }
}
