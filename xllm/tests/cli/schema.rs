//! The fields of what `xllm bench` leaves against those that `docs/bench.md` tells of: neither has one that the other has not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::{Value, json};

use crate::support::User;

const MANUAL: &str = include_str!("../../../docs/bench.md");
/// The one object whose fields depend on its kind.
const LOAD: &str = "steps[].load";
/// The one whose fields are metrics.
const VALUES: &str = "steps[].requests[].values";

type Fields = BTreeSet<String>;

/// The manual's text under this heading.
fn section(heading: &str) -> &'static str {
    let (_, rest) = MANUAL.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("{heading} is a heading"));
    rest.split("\n## ").next().expect("there is one at least")
}

/// What is set as code in it.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names of fields in it: what else is set as code is an option, a path or a number.
fn names(text: &str) -> impl Iterator<Item = String> {
    let is_name = |word: &&str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '_')
    };
    code(text).filter(is_name).map(str::to_owned)
}

/// The two cells of each row of the section's first table.
fn rows(heading: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let table = section(heading).lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    table.take_while(|line| line.starts_with('|')).filter_map(|line| line.trim_matches('|').split_once('|'))
}

/// The fields of each object by its path, as the manual has them.
fn documented() -> BTreeMap<String, Fields> {
    let mut objects = BTreeMap::new();
    for (paths, fields) in rows("The JSON document") {
        let fields: Fields = names(fields).collect();
        // All of the document has no path.
        let paths: Vec<_> = if paths.contains('`') { code(paths).collect() } else { vec![""] };
        for path in paths {
            assert_eq!(objects.insert(path.to_owned(), fields.clone()), None, "{path} has two rows");
        }
    }
    objects
}

/// Every object in it: its path, and its fields.
fn objects(value: &Value, path: &str, found: &mut BTreeSet<(String, Fields)>) {
    match value {
        Value::Object(fields) => {
            found.insert((path.to_owned(), fields.keys().cloned().collect()));
            let dot = if path.is_empty() { "" } else { "." };
            fields.iter().for_each(|(name, value)| objects(value, &format!("{path}{dot}{name}"), found));
        }
        Value::Array(list) => list.iter().for_each(|value| objects(value, &format!("{path}[]"), found)),
        _ => {}
    }
}

/// Two runs that have between them whatever a document can hold.
async fn documents() -> (Vec<Value>, String) {
    let user = User::with(json!({"text": "one two three", "retired": ["old"]})).await;
    fs::write(user.home.path().join("p"), "\"good\"\n{\"prompt\": \"bad\", \"model\": \"old\"}\n").expect("writable");
    let whole = ["bench", "--demo", "-n", "6", "--timings", "--slo", "e2e=9000s", "--csv", "rows.csv", "--json"];
    let failing = ["bench", "-m", "gpt-4o", "--direct-only", "--rate", "200", "-n", "4", "--prompts", "p", "--json"];
    let mut documents = Vec::new();
    for args in [&whole[..], &failing] {
        let ran = user.run(args).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        documents.push(serde_json::from_str(&ran.stdout).expect("JSON"));
    }
    (documents, fs::read_to_string(user.home.path().join("rows.csv")).expect("written"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_and_the_rows_have_the_fields_that_the_manual_tells_of() {
    let (documents, rows_of_requests) = documents().await;
    let metrics: Vec<String> = rows("Metrics").filter_map(|(name, _)| code(name).next()).map(str::to_owned).collect();
    let definitions = documents[0]["definitions"].as_array().expect("a list");
    let defined: Vec<&str> = definitions.iter().filter_map(|found| found["metric"].as_str()).collect();
    assert_eq!(defined, metrics);

    let mut found = BTreeSet::new();
    for document in &documents {
        objects(document, "", &mut found);
    }
    let documented = documented();
    let mut unseen: BTreeSet<&String> = documented.keys().collect();
    let mut of_loads = Fields::new();
    for (path, fields) in found {
        let any = path.rsplit_once('.').map(|(parent, _)| format!("{parent}.*"));
        let row = documented.get_key_value(&path).or_else(|| documented.get_key_value(any.as_ref()?));
        let (row, told) = row.unwrap_or_else(|| panic!("the manual has no row for {path}"));
        unseen.remove(row);
        match path.as_str() {
            LOAD => of_loads.extend(fields),
            VALUES => assert!(told.is_empty() && fields.iter().all(|field| metrics.contains(field)), "{fields:?}"),
            _ => assert_eq!(fields, *told, "{path}"),
        }
    }
    assert_eq!(of_loads, documented[LOAD]);
    assert!(unseen.is_empty(), "no run has {unseen:?}");

    let (begin, end) = section("The CSV file").split_once("then every metric").expect("says so");
    let of_requests = definitions.iter().filter(|found| found["per"] == "request");
    let columns = of_requests.map(|found| {
        let unit = if found["unit"] == "ms" { "_ms" } else { "" };
        format!("{}{unit}", found["metric"].as_str().expect("a name"))
    });
    let columns: Vec<String> = names(begin).chain(columns).chain(names(end)).collect();
    assert_eq!(rows_of_requests.lines().next(), Some(columns.join(",").as_str()));
}
