//! The answer when no text is scripted: short, about the prompt, in markdown.

use crate::random::{index, mix, seed};

/// Letters of the prompt that an answer quotes at most.
const QUOTE: usize = 80;

const OPENINGS: [&str; 3] = [
    "is a good question, and it has a short answer.",
    "comes up often, so here is what works in practice.",
    "can be settled in three steps, each easy to check.",
];

const LISTS: [[&str; 3]; 3] = [
    [
        "**Begin with the smallest case** and write down what you expect of it.",
        "**Measure before you change anything**, so that the gain is a number.",
        "**Keep what you learned** in a test that fails without it.",
    ],
    [
        "**Say what the input is**, with its limits and its odd corners.",
        "**Pick the plainest approach** that meets those limits.",
        "**Look at the result** next to the question, and stop when they agree.",
    ],
    [
        "**Split it in two parts** that can be wrong independently.",
        "**Solve the riskier part first**, while changing course is cheap.",
        "**Join them late**, behind an interface that you can explain.",
    ],
];

const CLOSINGS: [&str; 3] = [
    "If one of the steps does not fit your case, tell me which.",
    "The second step is where most of the time goes; do not skip it.",
    "Shall I work one of these out in more detail?",
];

/// About 80 words on `prompt`; another `choice` gives other words.
pub(crate) fn answer(prompt: &str, choice: usize) -> String {
    let seed = seed(prompt).wrapping_add(choice as u64);
    let pick = |salt: u64| index(mix(seed ^ (salt << 40)), 3);
    let quote = quote(prompt);
    let [one, two, three] = LISTS[pick(2)];
    format!(
        "“{quote}” {}\n\n1. {one}\n2. {two}\n3. {three}\n\n```python\nquestion = {}\nfor step in \
         (\"ask\", \"measure\", \"keep\"):\n    print(step, len(question.split()))\n```\n\n{}",
        OPENINGS[pick(1)],
        serde_json::Value::from(quote.as_str()),
        CLOSINGS[pick(3)],
    )
}

/// The beginning of `prompt`, on one line.
pub(crate) fn quote(prompt: &str) -> String {
    let words = prompt.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(QUOTE) {
        Some((end, _)) => format!("{}…", words[..end].trim_end()),
        None if words.is_empty() => "Nothing".into(),
        None => words,
    }
}
