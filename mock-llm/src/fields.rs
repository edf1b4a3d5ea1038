//! Checks of a request's fields, with `OpenAI`'s sentences.

use serde_json::{Map, Value};

use crate::fault::Fault;

/// The fields of a request body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// A field that is there and not null.
    pub(crate) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn flag(self, name: &str) -> Result<bool, Fault> {
        self.typed(name, "a boolean", Value::as_bool).map(Option::unwrap_or_default)
    }

    pub(crate) fn text(self, name: &str) -> Result<Option<&'a str>, Fault> {
        self.typed(name, "a string", Value::as_str)
    }

    pub(crate) fn integer(self, name: &str, least: u64, most: u64) -> Result<Option<usize>, Fault> {
        let Some(value) = self.typed(name, "an integer", Value::as_i64)? else {
            return Ok(None);
        };
        let bound = |which, sign, bound, code| {
            let message = format!(
                "Invalid '{name}': integer {which} value. Expected a value {sign} {bound}, but got \
                 {value} instead."
            );
            Fault::invalid(message).param(name).code(code)
        };
        match u64::try_from(value) {
            Ok(value) if value > most => Err(bound("above maximum", "<=", most, "integer_above_max_value")),
            Ok(value) if value >= least => Ok(usize::try_from(value).ok()),
            _ => Err(bound("below minimum", ">=", least, "integer_below_min_value")),
        }
    }

    pub(crate) fn number(self, name: &str, least: f64, most: f64) -> Result<(), Fault> {
        let Some(value) = self.typed(name, "a decimal", Value::as_f64)? else {
            return Ok(());
        };
        let (which, sign, bound, code) = if value > most {
            ("above maximum", "<=", most, "decimal_above_max_value")
        } else if value < least {
            ("below minimum", ">=", least, "decimal_below_min_value")
        } else {
            return Ok(());
        };
        let message = format!(
            "Invalid '{name}': decimal {which} value. Expected a value {sign} {bound}, but got \
             {value} instead."
        );
        Err(Fault::invalid(message).param(name).code(code))
    }

    pub(crate) fn typed<T>(
        self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match read(value) {
            Some(typed) => Ok(Some(typed)),
            None => Err(wrong_type(name, expected, value)),
        }
    }
}

pub(crate) fn wrong_type(name: &str, expected: &str, value: &Value) -> Fault {
    let got = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let message = format!("Invalid type for '{name}': expected {expected}, but got {got} instead.");
    Fault::invalid(message).param(name).code("invalid_type")
}

pub(crate) fn missing(name: &str) -> Fault {
    Fault::invalid(format!("Missing required parameter: '{name}'.")).param(name).code("missing_required_parameter")
}
