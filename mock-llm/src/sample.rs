//! A value that a JSON schema accepts.

use serde_json::{Map, Value, json};

/// Levels of nesting followed at most; schemas may refer to themselves.
const DEEPEST: usize = 24;

/// One value that `schema` accepts, the same each time. Keywords that only narrow a value further
/// (`pattern`, `multipleOf`, …) are not heeded.
pub(crate) fn sample(schema: &Value) -> Value {
    value(schema, schema, 0)
}

fn value(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|path| root.pointer(path));
        return target.map_or(Value::Null, |target| value(target, root, depth + 1));
    }
    if let Some(only) = schema.get("const").or_else(|| schema.pointer("/enum/0")) {
        return only.clone();
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        if let Some(choices) = schema.get(keyword).and_then(Value::as_array) {
            // Null is the way out of a recursion, so deep down it is preferred.
            let null = |choice: &&Value| choice.get("type").is_some_and(|kind| kind == "null");
            let choice = if depth > 2 { choices.iter().find(null) } else { None };
            let choice = choice.or_else(|| choices.first());
            return choice.map_or(Value::Null, |choice| value(choice, root, depth + 1));
        }
    }
    match kind(schema) {
        "object" => object(schema, root, depth),
        "array" => array(schema, root, depth),
        "string" => text(schema).into(),
        "integer" => bounded(schema).as_i64().unwrap_or(1).into(),
        "number" => bounded(schema),
        "boolean" => true.into(),
        _ => Value::Null,
    }
}

fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "string",
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let properties = schema.get("properties").and_then(Value::as_object);
    let entries = properties.into_iter().flatten();
    let map: Map<_, _> = entries.map(|(name, schema)| (name.clone(), value(schema, root, depth + 1))).collect();
    map.into()
}

fn array(schema: &Value, root: &Value, depth: usize) -> Value {
    let least = schema.get("minItems").and_then(Value::as_u64);
    // Deep down an empty array ends a recursion.
    let length = least.unwrap_or(u64::from(depth < 4)).min(64);
    let items = schema.get("items").unwrap_or(&Value::Null);
    (0..length).map(|_| value(items, root, depth + 1)).collect()
}

fn text(schema: &Value) -> String {
    let sample = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => "2025-01-31T12:00:00Z",
        Some("date") => "2025-01-31",
        Some("time") => "12:00:00Z",
        Some("duration") => "PT1H",
        Some("email") => "someone@example.com",
        Some("uri") => "https://example.com/",
        Some("hostname") => "example.com",
        Some("ipv4") => "192.0.2.1",
        Some("ipv6") => "2001:db8::1",
        Some("uuid") => "6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b",
        _ => "sample",
    };
    let limit = |name| schema.get(name).and_then(Value::as_u64);
    let limit = |name| limit(name).and_then(|limit| usize::try_from(limit).ok());
    let mut text: String = sample.chars().take(limit("maxLength").unwrap_or(usize::MAX)).collect();
    let least = limit("minLength").unwrap_or(0).min(4096);
    while text.len() < least {
        text.push('x');
    }
    text
}

fn bounded(schema: &Value) -> Value {
    let least = schema.get("minimum").or_else(|| schema.get("maximum"));
    least.cloned().unwrap_or_else(|| {
        let above = schema.get("exclusiveMinimum").and_then(Value::as_i64);
        above.map_or(json!(1), |above| json!(above + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::sample;
    use serde_json::json;

    #[test]
    fn a_sample_has_all_properties_in_their_order() {
        let schema = json!({"type": "object", "properties": {
            "zeta": {"type": "string"}, "alpha": {"type": ["integer", "null"], "minimum": 4},
            "list": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2},
            "either": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "ref": {"$ref": "#/$defs/when"}},
            "$defs": {"when": {"type": "string", "format": "date"}}});
        let expected = json!({"zeta": "sample", "alpha": 4, "list": ["a", "a"], "either": true,
            "ref": "2025-01-31"});
        assert_eq!(sample(&schema).to_string(), expected.to_string());
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let tree = json!({"type": "object", "properties": {
            "name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}},
            "parent": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}});
        let value = sample(&tree);
        assert_eq!(value["children"][0]["name"], "sample");
        let text = value.to_string();
        assert!(text.len() < 4096, "{} bytes", text.len());
    }
}
