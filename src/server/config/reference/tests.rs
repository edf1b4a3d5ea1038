use super::*;

fn none(_: &str) -> Option<String> {
    None
}

fn some(name: &str) -> Option<String> {
    match name {
        "KEY" => Some("sk-1".into()),
        "_K2" => Some("$KEY ${KEY}".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn text(written: &str, variables: Variables<'_>) -> Result<(String, Vec<String>), ReferenceError> {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let value = value(written.into(), variables)?;
    Ok((utf8(&value.text), value.secrets.iter().map(|secret| utf8(secret)).collect()))
}

#[test]
fn references_are_replaced_once_and_what_they_name_is_secret() {
    for (written, expected, secrets) in [
        ("plain", "plain", &[][..]),
        ("", "", &[]),
        ("Bearer ${KEY}", "Bearer sk-1", &["sk-1"]),
        ("${KEY}:${KEY}x", "sk-1:sk-1x", &["sk-1", "sk-1"]),
        ("$$", "$", &[]),
        ("a$$b$${KEY}", "a$b${KEY}", &[]),
        ("$$${KEY}", "$sk-1", &["sk-1"]),
        ("${_K2}", "$KEY ${KEY}", &["$KEY ${KEY}"]),
    ] {
        let (text, found) = text(written, &some).expect(written);
        assert_eq!((text.as_str(), found.iter().map(String::as_str).collect::<Vec<_>>().as_slice()), (expected, secrets));
    }
}

#[test]
fn a_dollar_that_is_no_reference_is_refused_and_not_shown() {
    for written in [
        "$",
        "a$",
        "$KEY",
        "${",
        "${KEY",
        "${}",
        "${1KEY}",
        "${KEY }",
        "${sk-secret}",
        "${file:relative}",
        "${file:}",
        "${credential:}",
        "${credential:..}",
        "${credential:.}",
        "${credential:a/b}",
        "${credential:/etc/passwd}",
        "${credential:../x}",
        "${credential:x/}",
        "$secret",
    ] {
        let error = text(written, &|_| Some("/tmp".into())).expect_err(written);
        assert!(matches!(error, ReferenceError::Malformed) && !error.to_string().contains("secret"), "{written}: {error}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    assert!(text("${MISSING}", &none).expect_err("unset").to_string().contains("MISSING is not set"));
    assert!(text("${EMPTY}", &some).expect_err("empty").to_string().contains("EMPTY"));
    assert!(text("${file:/no/such/file}", &none).expect_err("no file").to_string().starts_with("/no/such/file: "));
    assert!(matches!(text("${credential:x}", &none), Err(ReferenceError::NoCredentials)));
}

#[cfg(unix)]
mod files {
    use std::{fs, os::unix::fs::PermissionsExt};

    use tempfile::TempDir;

    use super::*;

    fn folder(name: &str, content: &[u8], mode: u32) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write(&path, content).expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changes");
        (folder, path)
    }

    fn read(path: &Path, variables: Variables<'_>) -> Result<String, ReferenceError> {
        text(&format!("${{file:{}}}", path.display()), variables).map(|(text, _)| text)
    }

    #[test]
    fn a_file_gives_its_line() {
        for (content, line) in [("key", "key"), ("key\n", "key"), ("key\r\n", "key"), ("key\n\n", "key\n"), (" key ", " key ")]
        {
            let (_folder, path) = folder("key", content.as_bytes(), 0o600);
            assert_eq!(read(&path, &none).expect("read"), line);
        }
    }

    #[test]
    fn a_file_that_all_may_read_or_change_is_refused() {
        for (mode, fine) in
            [(0o400, true), (0o600, true), (0o640, true), (0o644, false), (0o604, false), (0o602, false), (0o777, false)]
        {
            let (_folder, path) = folder("key", b"key", mode);
            assert_eq!(read(&path, &none).is_ok(), fine, "{mode:o}");
        }
    }

    #[test]
    fn a_credential_of_systemd_is_its_services_alone() {
        let (folder, path) = folder("api", b"key\n", 0o444);
        let here = |name: &str| (name == CREDENTIALS).then(|| folder.path().display().to_string());
        assert_eq!(text("${credential:api}", &here).expect("read").0, "key");
        assert_eq!(read(&path, &here).expect("read"), "key");
        assert!(matches!(text("${credential:other}", &here), Err(ReferenceError::Io(..))));
        let (_other, beside) = self::folder("api", b"key", 0o444);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(beside, &link).expect("links");
        assert!(matches!(read(&link, &here), Err(ReferenceError::Exposed(_))), "it only seems to lie there");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let (folder, path) = folder("key", &vec![b'x'; 16_385], 0o600);
        assert!(matches!(read(&path, &none), Err(ReferenceError::NotAKey(_))));
        assert!(matches!(read(folder.path(), &none), Err(ReferenceError::NotAKey(_) | ReferenceError::Io(..))));
        let (_folder, path) = self::folder("key", b"\n", 0o600);
        assert!(matches!(read(&path, &none), Err(ReferenceError::Empty(_))));
    }
}
