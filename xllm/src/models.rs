//! `xllm models`

use std::fmt::Write as _;

use crate::{
    aliases::Catalog,
    args::ConnectionArgs,
    config::Config,
    env::Env,
    exit::Failure,
    options::{api_key, default_model, key_variable, proxy_url},
};

/// The table to print.
pub(crate) fn run(args: &ConnectionArgs, config: &Config, env: &Env) -> Result<String, Failure> {
    let catalog = Catalog::new(config)?;
    // A proxy that lacks its address is no reason not to list.
    let through_proxy = proxy_url(args, config, env).is_ok_and(|url| url.is_some());
    let default = match env.get("XLLM_MODEL") {
        Some(name) => catalog.resolve(name).ok(),
        None => default_model(&catalog, config, env, through_proxy).ok(),
    };
    let mut rows: Vec<[String; 3]> = Vec::new();
    for name in catalog.aliases() {
        // An alias of the file may name what is not there; the others are listed still.
        let Ok(choice) = catalog.resolve(name) else {
            rows.push([name.to_owned(), "(leads nowhere)".to_owned(), String::new()]);
            continue;
        };
        let mut remarks = Vec::new();
        if default.as_ref() == Some(&choice) {
            remarks.push("default".to_owned());
        }
        if let Some(successor) = &choice.successor {
            remarks.push(format!("retired, see {successor}"));
        }
        rows.push([name.to_owned(), format!("{}/{}", choice.provider, choice.model), remarks.join(", ")]);
    }
    let mut text = table(&rows);
    text.push('\n');
    let mut providers = Vec::new();
    for name in catalog.providers() {
        let key = match (api_key(&catalog, name, env), key_variable(&catalog, name)) {
            (Some(_), _) => "key set".to_owned(),
            (None, Some(variable)) => format!("no key: {variable} is not set"),
            (None, None) => "no key".to_owned(),
        };
        let model = catalog.default_of(name).map_or_else(|_| String::new(), |choice| choice.model);
        providers.push([format!("{name}/…"), model, key]);
    }
    text.push_str(&table(&providers));
    Ok(text.trim_end().to_owned())
}

/// Columns, two blanks apart.
fn table(rows: &[[String; 3]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    rows.iter().fold(String::new(), |mut text, [name, model, remark]| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", format!("{name:first$}  {model:second$}  {remark}").trim_end());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lists_aliases_providers_and_what_is_missing() {
        let env = Env::of(&[("OPENAI_API_KEY", "sk-1")]);
        let config = Config::parse(
            "c",
            "[models.groq]\nurl = \"u\"\napi_key = \"${G}\"\n[aliases]\nfast = \"groq/x\"\nbad = \"nope\"",
            &env,
        )
        .expect("valid");
        let text = run(&ConnectionArgs::default(), &config, &env).expect("listed");
        for line in [
            "fast     groq/x",
            "haiku3   claude/claude-3-haiku-20240307  retired, see haiku",
            "mini     openai/gpt-5-mini               default",
            "bad      (leads nowhere)",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(
            text.contains("no key: G is not set")
                && text.contains("no key: ANTHROPIC_API_KEY is not set")
                && text.contains("key set")
        );
        assert!(!text.contains("sk-1"));
    }

    #[test]
    fn a_variable_that_would_not_be_used_is_not_asked_for() {
        let env = Env::of(&[("OPENAI_API_KEY", "sk-1")]);
        let config = Config::parse("c", "[models.openai]\nurl = \"https://mine.example\"", &env).expect("valid");
        let text = run(&ConnectionArgs::default(), &config, &env).expect("listed");
        assert!(text.lines().any(|line| line.starts_with("openai/") && line.ends_with("no key")), "{text}");
    }
}
