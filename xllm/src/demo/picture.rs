//! What happened, in a few lines and a small picture.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    measure::{Pairs, Said},
    tap::Seen,
};
use crate::options::Plan;

/// Bytes from which it means something that a text does not turn up among random ones.
const SEARCHED: usize = 8;
/// Columns of the picture.
const WIDTH: usize = 76;
/// Columns of a row of bars.
const BARS: usize = 46;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What the report is made of.
#[derive(Debug)]
pub(super) struct Picture<'a> {
    /// What the wire-tap kept.
    pub(super) seen: &'a Seen,
    /// The same answer, as the provider wrote it.
    pub(super) said: &'a Said,
    pub(super) pairs: &'a Pairs,
    pub(super) plan: &'a Plan,
    pub(super) api_key: &'a str,
    pub(super) prompt: &'a str,
}

impl Picture<'_> {
    pub(super) fn draw(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.happened(&mut text).and_then(|()| self.eavesdropper(&mut text));
        text
    }

    fn happened(&self, text: &mut String) -> std::fmt::Result {
        let [(first, gap), (direct_first, direct_gap)] = self.pairs.medians();
        heading(text, "what happened")?;
        writeln!(text, "  xllm ══ AES-256-GCM over TCP ══► xllm-proxy ── HTTP ──► provider (a mock)\n")?;
        writeln!(text, "  {:<16}{:>12}{:>12}", "", "direct", "relayed")?;
        writeln!(text, "  {:<16}{:>12}{:>12}", "first token", ms(direct_first), ms(first))?;
        writeln!(text, "  {:<16}{:>12}{:>12}", "between tokens", ms(direct_gap), ms(gap))?;
        let (added_first, added_later) = (self.pairs.added_first(), self.pairs.added_later());
        writeln!(text, "  the relay adds {added_first:+} µs to the first token and {added_later:+} µs to each later one")?;
        writeln!(text, "  (medians of {} runs each way, in turn, compared token by token, on this machine)", self.pairs.len())
    }

    fn eavesdropper(&self, text: &mut String) -> std::fmt::Result {
        let records = Seen::records(&self.seen.down);
        heading(text, "what an eavesdropper on the wire saw")?;
        writeln!(
            text,
            "  said  {}",
            shorten(&format!("POST {}  Bearer {}…", self.plan.target.url, &self.api_key[..11]), WIDTH - 8)
        )?;
        writeln!(text, "        {}", shorten(&format!("{:?} → {}", self.prompt, self.said.first), WIDTH - 8))?;
        writeln!(text, "  seen  {} …\n", hex(self.seen.down.get(256..280).unwrap_or_default()))?;
        row_of_bars(text, "tokens", &self.said.sizes)?;
        writeln!(text, "          {}: under TLS, word lengths show", sizes(&self.said.sizes))?;
        row_of_bars(text, "records", &records)?;
        writeln!(text, "          {}: here, they do not (profile pad)\n", sizes(&records))?;
        let total = self.seen.up.len() + self.seen.down.len();
        let (secrets, short): (Vec<_>, Vec<_>) = self.secrets().into_iter().partition(|(_, secret)| secret.len() >= SEARCHED);
        let names = |list: &[(&'static str, String)]| list.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let found: Vec<_> = secrets.iter().filter(|(_, secret)| self.seen.holds(secret)).cloned().collect();
        let found = if found.is_empty() { "none found".to_owned() } else { format!("FOUND: {}", names(&found)) };
        writeln!(text, "  searched {total} bytes for {}: {found}", names(&secrets))?;
        if !short.is_empty() {
            writeln!(text, "  (not for the {}: so few bytes turn up by chance)", names(&short))?;
        }
        writeln!(text, "  still visible: when records go, how many, and between which addresses")
    }

    /// What must not have gone by in the clear.
    fn secrets(&self) -> [(&'static str, String); 5] {
        let url = &self.plan.target.url;
        let host = url.host_str().map(|host| format!("{host}:{}", url.port().unwrap_or(0))).unwrap_or_default();
        [
            ("host", host),
            ("path", url.path().to_owned()),
            ("API key", self.api_key.to_owned()),
            ("prompt", self.prompt.to_owned()),
            ("answer", "chat.completion.chunk".to_owned()),
        ]
    }
}

fn heading(text: &mut String, title: &str) -> std::fmt::Result {
    writeln!(text, "\n── {title} {}\n", "─".repeat(WIDTH.saturating_sub(title.chars().count() + 4)))
}

fn ms(time: f64) -> String {
    format!("{time:.2} ms")
}

/// The text within so many columns.
fn shorten(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// `5 sizes, 210 to 262 bytes`
fn sizes(sizes: &[usize]) -> String {
    let different: BTreeSet<_> = sizes.iter().collect();
    match (different.first(), different.last()) {
        (Some(least), Some(most)) if least == most => format!("{} of one size, {least} bytes", sizes.len()),
        (Some(least), Some(most)) => format!("{} of {} sizes, {least} to {most} bytes", sizes.len(), different.len()),
        _ => "none".to_owned(),
    }
}

/// One bar for each of the first, as high as it is large among them.
fn row_of_bars(text: &mut String, name: &str, sizes: &[usize]) -> std::fmt::Result {
    let shown = &sizes[..sizes.len().min(BARS)];
    let (least, most) = (shown.iter().min().copied().unwrap_or(0), shown.iter().max().copied().unwrap_or(0));
    let bar = |&size: &usize| match most - least {
        0 => LEVELS[LEVELS.len() / 2],
        range => LEVELS[(size - least) * (LEVELS.len() - 1) / range],
    };
    let more = if sizes.len() > BARS { "…" } else { "" };
    writeln!(text, "  {name:<7} {}{more}", shown.iter().map(bar).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_the_range_and_equal_sizes_look_alike() {
        let mut text = String::new();
        row_of_bars(&mut text, "x", &[10, 20, 15]).expect("a String takes all");
        row_of_bars(&mut text, "y", &[530, 530]).expect("a String takes all");
        row_of_bars(&mut text, "z", &[]).expect("a String takes all");
        assert_eq!(text, "  x       ▁█▄\n  y       ▅▅\n  z       \n");
    }

    #[test]
    fn sizes_are_counted() {
        assert_eq!(sizes(&[5, 5, 5]), "3 of one size, 5 bytes");
        assert_eq!(sizes(&[5, 7, 5]), "3 of 2 sizes, 5 to 7 bytes");
        assert_eq!(sizes(&[]), "none");
    }

    #[test]
    fn long_lines_are_cut_at_characters() {
        assert_eq!(shorten("ééééé", 3), "éé…");
        assert_eq!(shorten("ab", 3), "ab");
    }
}
