//! `xllm --init`

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::{args::ChatArgs, config::default_path, exit::Failure};

const TEMPLATE: &str = include_str!("../data/config.toml");
const PLACEHOLDER: &str = "http://your-proxy-server:50051";

/// Writes the file; the text to print.
pub(crate) fn run(args: &ChatArgs) -> Result<String, Failure> {
    let path = args.connection.config.clone().or_else(default_path).ok_or_else(|| {
        Failure::usage("this user has no configuration directory").remedy("name the file: xllm --init --config FILE")
    })?;
    let text = template(args.connection.proxy_url.as_deref());
    write(&path, &text, args.force)?;
    Ok(next(&path, args.connection.proxy_url.is_some()))
}

fn template(proxy_url: Option<&str>) -> String {
    match proxy_url {
        None => TEMPLATE.to_owned(),
        Some(url) => TEMPLATE.replace(&format!("\"{PLACEHOLDER}\""), &toml::Value::from(url).to_string()),
    }
}

fn next(path: &Path, has_url: bool) -> String {
    let first = if has_url { "" } else { "\n  - set proxy_url in it (or proxy = false to go straight to the APIs)" };
    format!(
        "wrote {}\nnext:{first}\n  - xllm key set               stores the proxy's key in the system keyring\n  \
         - export ANTHROPIC_API_KEY   and OPENAI_API_KEY, as you have them\n  - xllm \"Hello world\"",
        path.display()
    )
}

/// Creates the file for the user alone. An old one is replaced in one step.
fn write(path: &PathBuf, text: &str, force: bool) -> Result<(), Failure> {
    let refused = |error: &io::Error| Failure::usage(format!("cannot write {}: {error}", path.display()));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| refused(&error))?;
    // Temporary files are made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| refused(&error))?;
    file.write_all(text.as_bytes()).map_err(|error| refused(&error))?;
    let placed = if force { file.persist(path) } else { file.persist_noclobber(path) };
    placed.map(drop).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("{} exists already", path.display())).remedy("add --force to overwrite it")
        }
        _ => refused(&error.error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_proxy_is_put_in() {
        assert!(TEMPLATE.contains(PLACEHOLDER));
        let text = template(Some("http://a\"b:1"));
        let value: toml::Table = text.parse().expect("valid");
        assert_eq!(value["global"]["proxy_url"].as_str(), Some("http://a\"b:1"));
    }

    #[test]
    fn an_old_file_stays_unless_forced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/folder/config.toml");
        write(&path, "one", false).expect("new");
        assert!(write(&path, "two", false).expect_err("exists").to_string().contains("--force"));
        assert_eq!(fs::read_to_string(&path).expect("there"), "one");
        write(&path, "two", true).expect("forced");
        assert_eq!(fs::read_to_string(&path).expect("there"), "two");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_the_users_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        write(&path, "one", false).expect("new");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
