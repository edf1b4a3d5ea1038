//! From the command line to what was asked for.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use xllm_proxy::log::Log;

use crate::{
    args::{ChatArgs, Cli, Command, ConnectionArgs},
    bench, chat,
    config::{Config, load},
    demo, doctor,
    env::Env,
    exit::{Exit, Failure},
    gateway, init, key, models,
    options::{Plan, Route},
    output::Output,
    prompt,
    transport::Transport,
};

/// Runs the command and reports its failure. `log` is that of a gateway, once it has begun.
pub(crate) async fn run(cli: Cli, log: &mut Option<Log>) -> Exit {
    let env = Env::of_process();
    let result = match cli.command {
        None if cli.chat.init => init::run(&cli.chat).and_then(|text| print(&text)),
        None => chat(&cli.chat, &env).await,
        Some(Command::Demo(args)) => demo::run(&args, &env).await,
        Some(Command::Gateway(args)) => match configured(&args.connection, &env) {
            Ok(config) => gateway::run(&args, &config, &env, log).await,
            Err(failure) => Err(failure),
        },
        // The demonstration needs no configuration, be it a broken one.
        Some(Command::Bench(args)) => {
            match if args.demo { Ok(Config::default()) } else { configured(&args.connection, &env) } {
                Ok(config) => Box::pin(bench::run(&args, &config, &env)).await,
                Err(failure) => Err(failure),
            }
        }
        Some(Command::Models(args)) => configured(&args.connection, &env)
            .and_then(|config| models::run(&args.connection, &config, &env))
            .and_then(|text| print(&text)),
        Some(Command::Key(command)) => configured(&ConnectionArgs::default(), &env)
            .and_then(|config| key::run(command, &config, &env))
            .and_then(|text| print(&text)),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "xllm", &mut script);
            print(String::from_utf8_lossy(&script).trim_end())
        }
        // Boxed: it is a large future, and one of many commands.
        Some(Command::Doctor(args)) => Box::pin(doctor::run(&args, &env)).await,
    };
    result.unwrap_or_else(|failure| {
        if let Some(log) = log {
            log.lines().settle();
        }
        failed(&failure)
    })
}

/// Reports a failure.
pub(crate) fn failed(failure: &Failure) -> Exit {
    say(&failure.to_string());
    failure.exit
}

fn configured(args: &ConnectionArgs, env: &Env) -> Result<Config, Failure> {
    let config = load(args.config.as_deref(), env)?;
    config.warnings.iter().for_each(|warning| say(warning));
    Ok(config)
}

async fn chat(args: &ChatArgs, env: &Env) -> Result<Exit, Failure> {
    let config = load(args.connection.config.as_deref(), env)?;
    // Reads a file or a pipe to its end; there is nothing else to do meanwhile.
    let parts = prompt::read(&args.prompt, &args.file)?;
    let plan = Plan::new(args, parts, &config, env)?;
    let mut out = Output::of_process(plan.show, args.connection.verbose, env);
    plan.warnings.iter().for_each(|warning| out.warn(warning));
    config.remarks.iter().for_each(|remark| out.notice(remark));
    match &config.path {
        Some(path) => out.trace(&format!("configuration: {}", path.display())),
        None => out.trace("configuration: none"),
    }
    out.trace(&format!("model: {}/{}", plan.target.provider, plan.target.model));
    let transport = match &plan.route {
        Route::Direct => {
            out.trace("route: straight to the API");
            Transport::direct()?
        }
        Route::Proxy { url, key, nodes } => {
            out.trace(&format!("route: through the proxy {url}"));
            Transport::proxy(url, key, nodes)?
        }
    };
    chat::run(&plan, &transport, &mut out).await
}

/// Prints a text to stdout. A reader who leaves early has read enough.
fn print(text: &str) -> Result<Exit, Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::usage(format!("cannot write: {error}"))),
        _ => Ok(Exit::Ok),
    }
}

fn say(text: &str) {
    // Without stderr there is nobody to tell.
    let _ = writeln!(io::stderr(), "xllm: {text}");
}
