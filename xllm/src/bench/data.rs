//! What is read of an event's JSON: whether there is something, and how many tokens. What was said is never taken up, which
//! keeps reading cheap, and it out of everything that is written.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// The data of an event, of either API.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Data {
    /// Anthropic's name of the event.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) choices: Option<Vec<Choice>>,
    /// Anthropic's.
    pub(super) delta: Option<Delta>,
    pub(super) usage: Option<Usage>,
    pub(super) error: Filled,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice {
    pub(super) delta: Option<Delta>,
}

/// The fields in which content comes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Delta {
    pub(super) content: Filled,
    pub(super) refusal: Filled,
    pub(super) reasoning_content: Filled,
    pub(super) reasoning: Filled,
    pub(super) tool_calls: Filled,
    pub(super) text: Filled,
    pub(super) thinking: Filled,
    pub(super) partial_json: Filled,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    pub(super) completion_tokens: Count,
    pub(super) output_tokens: Count,
}

/// A count as servers write it: 3, or 3.0. What is none is left out, and the event with it is read all the same.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(pub(super) Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let whole = value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=MOST).contains(number));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number in the range")]
        let whole = whole.map(|number| number as u64);
        Ok(Self(value.as_u64().or(whole)))
    }
}

/// Up to here, fractions hold every whole number.
const MOST: f64 = 9_007_199_254_740_992.0;

/// Whether a value is a string, list or object that holds something.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filled(pub(super) bool);

impl<'de> Deserialize<'de> for Filled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Filled;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Filled, E> {
        Ok(Filled(!text.is_empty()))
    }

    fn visit_unit<E>(self) -> Result<Filled, E> {
        Ok(Filled(false))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Filled, E> {
        Ok(Filled(false))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Filled, E> {
        Ok(Filled(false))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Filled, E> {
        Ok(Filled(false))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Filled, E> {
        Ok(Filled(false))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Filled, A::Error> {
        let mut filled = false;
        while list.next_element::<IgnoredAny>()?.is_some() {
            filled = true;
        }
        Ok(Filled(filled))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Filled, A::Error> {
        let mut filled = false;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            filled = true;
        }
        Ok(Filled(filled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_is_looked_at_and_few_hold_something() {
        for (json, filled) in [
            ("\"a\"", true),
            ("\"\\n\"", true),
            ("\"\"", false),
            ("null", false),
            ("true", false),
            ("-7", false),
            ("7", false),
            ("0.5", false),
            ("[]", false),
            ("[{\"a\": 1}]", true),
            ("{}", false),
            ("{\"a\": [1]}", true),
        ] {
            assert_eq!(serde_json::from_str::<Filled>(json).expect("valid"), Filled(filled), "{json}");
        }
        assert!(serde_json::from_str::<Filled>("[1").is_err());
    }

    #[test]
    fn counts_are_read_as_servers_write_them() {
        let count = |json: &str| serde_json::from_str::<Count>(json).expect("valid").0;
        for (json, found) in [("3", Some(3)), ("3.0", Some(3)), ("18446744073709551615", Some(u64::MAX))] {
            assert_eq!(count(json), found, "{json}");
        }
        for json in ["3.5", "-1", "1e300", "null", "\"3\"", "[3]", "{}"] {
            assert_eq!(count(json), None, "{json}");
        }
    }

    #[test]
    fn fields_may_be_missing_or_null_or_unknown() {
        let data: Data = serde_json::from_str(r#"{"choices": [{"delta": null}], "usage": null, "x": {}}"#).expect("valid");
        assert!(data.usage.is_none() && data.choices.is_some_and(|choices| choices[0].delta.is_none()));
    }
}
