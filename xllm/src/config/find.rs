//! Which file is the configuration, and what to say about it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Config,
    reader::{Source, Table},
};
use crate::{env::Env, exit::Failure};

/// A configuration is a page of text; whatever is larger is something else.
const MAX_FILE: u64 = 1 << 20;

/// Where `xllm --init` writes, and where the file is looked for by default.
pub(crate) fn default_path() -> Option<PathBuf> {
    Some(directories::ProjectDirs::from("", "", "xllm")?.config_dir().join("config.toml"))
}

/// Loads the first file there is: the one named by flag or `XLLM_CONFIG` (which must
/// exist), `./config.toml`, the user's configuration directory, `~/.xllm.toml`.
pub(crate) fn load(named: Option<&Path>, env: &Env) -> Result<Config, Failure> {
    if let Some(path) = named.map(Path::to_owned).or_else(|| env.get("XLLM_CONFIG").map(PathBuf::from)) {
        let text = read(&path)?.ok_or_else(|| {
            Failure::usage(format!("there is no configuration file {}", path.display()))
                .remedy(format!("xllm --init --config {}", path.display()))
        })?;
        return finish(&path, &text, env, Vec::new());
    }
    let mut remarks = Vec::new();
    let here = PathBuf::from("config.toml");
    match read(&here) {
        Ok(Some(text)) if is_ours(&text) => {
            // A folder from elsewhere must not change silently where requests go.
            remarks.push("using the configuration of this folder, ./config.toml".to_owned());
            return finish(&here, &text, env, remarks);
        }
        Ok(Some(_)) => remarks.push("./config.toml is not a configuration of xllm: skipped".to_owned()),
        Err(_) => remarks.push("./config.toml cannot be read: skipped".to_owned()),
        Ok(None) => {}
    }
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().join(".xllm.toml"));
    for path in default_path().into_iter().chain(home) {
        if let Some(text) = read(&path)? {
            return finish(&path, &text, env, remarks);
        }
    }
    Ok(Config { remarks, ..Config::default() })
}

/// Many programs have a `config.toml`. Ours names one of our tables; a file too
/// broken to parse is ours if a line says so.
fn is_ours(text: &str) -> bool {
    let env = Env::default();
    match Table::parse(Source { name: "", text, env: &env }) {
        Ok(root) => root.has("global") || root.has("models") || root.has("gateway"),
        Err(_) => text.lines().any(|line| ["[global]", "[models.", "[gateway"].iter().any(|table| line.starts_with(table))),
    }
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    let unreadable = |error: &io::Error| Failure::usage(format!("cannot read the configuration {}: {error}", path.display()));
    let size = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(None),
        Ok(metadata) => metadata.len(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
    };
    if size > MAX_FILE {
        return Err(Failure::usage(format!("{} is too large for a configuration", path.display())));
    }
    fs::read_to_string(path).map(Some).map_err(|error| unreadable(&error))
}

fn finish(path: &Path, text: &str, env: &Env, remarks: Vec<String>) -> Result<Config, Failure> {
    let mut config = Config::parse(&path.display().to_string(), text, env)?;
    if config.holds_secrets() && readable_by_others(path) {
        let shown = path.display();
        config.warnings.push(format!("{shown} holds keys and others can read it: chmod 600 {shown}"));
    }
    config.path = Some(path.to_owned());
    config.remarks = remarks;
    Ok(config)
}

#[cfg(unix)]
fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn readable_by_others(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_with_our_tables_are_ours() {
        for (text, ours) in [
            ("[global]\nproxy = true\n", true),
            ("[models.claude]\n", true),
            ("[global]\nproxy = tru\n", true),
            ("title = \"a site\"\n[params]\n", false),
            ("not toml at all", false),
            ("", false),
        ] {
            assert_eq!(is_ours(text), ours, "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn keys_that_others_can_read_are_warned_of() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("c.toml");
        for (text, mode, warned) in [
            ("[models.openai]\napi_key = \"sk\"\n", 0o644, true),
            ("[models.openai]\napi_key = \"sk\"\n", 0o600, false),
            ("[models.openai]\napi_key = \"${K}\"\n", 0o644, false),
            ("[global]\nproxy_key = \"x\"\n", 0o640, true),
        ] {
            fs::write(&path, text).expect("writable");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
            let config = load(Some(&path), &Env::of(&[("K", "sk")])).expect("valid");
            assert_eq!(!config.warnings.is_empty(), warned, "{text} {mode:o}");
        }
    }

    #[test]
    fn a_named_file_must_exist() {
        let failure = load(Some(Path::new("no/such.toml")), &Env::default()).expect_err("missing");
        assert!(failure.to_string().contains("--init"), "{failure}");
    }
}
