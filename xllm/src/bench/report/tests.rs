//! The page as a whole: what a browser will make of it, whatever the result is.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use html5gum::{Token, Tokenizer};
use sha2::{Digest as _, Sha256};

use super::{render, samples};
use crate::bench::{
    format::Unit,
    metric::Metric,
    result::{Load, Results, Route},
};

/// What has no end tag.
const VOID: [&str; 2] = ["br", "meta"];
/// What could load or run something.
const ACTIVE: [&str; 12] =
    ["script", "link", "img", "image", "iframe", "object", "embed", "base", "form", "use", "audio", "video"];
const LONE: Load = Load::Closed { concurrency: 1 };

/// A page as a browser's tokenizer sees it.
#[derive(Default)]
struct Page {
    text: String,
    style: String,
    elements: Vec<Element>,
}

struct Element {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Element {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

impl Page {
    /// Fails on any mistake that the tokenizer knows, and on tags that do not match.
    fn read(html: &str) -> Self {
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the page is UTF-8");
        let (mut page, mut open) = (Self::default(), Vec::new());
        for token in Tokenizer::new(html) {
            let Ok(token) = token;
            match token {
                Token::StartTag(tag) => {
                    let name = string(&tag.name);
                    let pairs = tag.attributes.iter();
                    let attributes = pairs.map(|(name, value)| (string(name), string(value))).collect();
                    if !VOID.contains(&name.as_str()) && !tag.self_closing {
                        open.push(name.clone());
                    }
                    page.elements.push(Element { name, attributes });
                }
                Token::EndTag(tag) => assert_eq!(open.pop(), Some(string(&tag.name))),
                Token::String(text) if open.last().is_some_and(|name| name == "style") => page.style += &string(&text),
                Token::String(text) => page.text += &string(&text),
                Token::Error(error) => panic!("{error:?}"),
                Token::Comment(_) | Token::Doctype(_) => {}
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
        page
    }

    fn of(results: &Results) -> Self {
        let page = Self::read(&render(results));
        page.stands_alone();
        page.is_drawn_with_numbers();
        page
    }

    /// Nothing is loaded and nothing runs; if something tried, the policy would not let it.
    fn stands_alone(&self) {
        for element in &self.elements {
            assert!(!ACTIVE.contains(&element.name.as_str()), "<{}>", element.name);
            for (name, value) in &element.attributes {
                let bad = ["src", "href", "xlink:href", "action", "style", "srcset", "background"].contains(&name.as_str());
                assert!(!bad && !name.starts_with("on") && !value.contains("url("), "<{} {name}={value}>", element.name);
            }
        }
        assert!(
            !self.style.contains("url(") && !self.style.contains('@')
                || self.style.matches('@').count() == self.style.matches("@media").count()
        );
        let policy = self.elements.iter().find(|element| element.get("http-equiv") == Some("Content-Security-Policy"));
        let policy = policy.and_then(|element| element.get("content")).expect("there is a policy");
        let hash = STANDARD.encode(Sha256::digest(&self.style));
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains(&format!("'sha256-{hash}'")), "{policy}");
    }

    /// Every place is a number, and every drawing has a name or is an ornament.
    fn is_drawn_with_numbers(&self) {
        let numeric = ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height"];
        for element in &self.elements {
            for (name, value) in &element.attributes {
                let fine = match name.as_str() {
                    name if numeric.contains(&name) => value.parse::<f64>().is_ok_and(f64::is_finite),
                    "d" | "viewbox" => value.chars().all(|letter| letter.is_ascii_digit() || "MLHVhv .-".contains(letter)),
                    _ => true,
                };
                assert!(fine, "<{} {name}=\"{value}\">", element.name);
            }
            if element.name == "svg" {
                assert!(
                    element.get("aria-label").is_some_and(|label| !label.is_empty()) || element.get("aria-hidden").is_some()
                );
            }
        }
        for word in ["NaN", "inf ", "Infinity"] {
            assert!(!self.text.contains(word), "{word}");
        }
    }

    fn count(&self, name: &str) -> usize {
        self.elements.iter().filter(|element| element.name == name).count()
    }

    fn says(&self, text: &str) -> bool {
        self.text.replace(['\u{a0}', '\u{202f}'], " ").contains(text)
    }
}

fn one_step(pairs: u64, adds: f64, slow: f64) -> Results {
    samples::results(vec![samples::step(LONE, pairs, adds, slow)])
}

#[test]
fn a_page_says_what_the_proxy_adds_and_how_sure_that_is() {
    let page = Page::of(&samples::typical());
    for text in [
        "The proxy adds 175 µs to the first token and 105 µs to each later one.",
        "Measurably slower.",
        "Mind the warnings below.",
        "95 % interval +145 to +205 µs",
        "95 % interval +93.0 to +117 µs",
        "Read this before the figures",
    ] {
        assert!(page.says(text), "{text}");
    }
    // Intervals, pairs, two distributions, the timeline wide and narrow, the split and its course.
    let charts = page.elements.iter().filter(|element| element.get("role") == Some("img")).count();
    assert_eq!((charts, page.count("h1"), page.count("details")), (8, 1, 0));
}

#[test]
fn every_metric_is_there_with_its_figures_and_its_meaning() {
    let results = samples::typical();
    let page = Page::of(&results);
    for definition in &results.definitions {
        assert!(page.says(&definition.formula) && page.says(&definition.label), "{definition:?}");
    }
    for result in &results.steps[0].routes {
        for found in &result.metrics {
            let unit = Unit::of(found.metric.unit(), found.p50);
            for value in found.known().into_iter().filter_map(|known| known.value).chain([found.mean]) {
                assert!(page.text.contains(&unit.figure(value)), "{} {value}", found.metric.label());
            }
        }
    }
}

#[test]
fn text_from_elsewhere_is_text() {
    let html = render(&samples::typical());
    for text in ["<i>", "<b>HTTP", "<failed>", "\"x\""] {
        assert!(!html.contains(text), "{text}");
    }
    let page = Page::read(&html);
    assert!(page.says("model-<i>&\"x\"") && page.says("the API refused <b>HTTP 503</b>") && page.says("Requests <failed>."));
}

#[test]
fn what_is_not_clear_is_not_claimed() {
    let mut results = one_step(50, 0.01, 1.0);
    assert!(Page::of(&results).says("The proxy shows no clear effect on the first token and on each later one."));
    assert!(Page::of(&results).says("No clear difference."));
    for difference in &mut results.steps[0].differences {
        (difference.estimate, difference.low, difference.high) = (-0.2, -0.3, -0.1);
    }
    let page = Page::of(&results);
    assert!(
        page.says("The proxy takes 200 µs off the first token and 200 µs off each later one.")
            && page.says("Measurably faster.")
    );
    results.steps[0].differences[0].low = 0.1;
    results.steps[0].differences[0].estimate = 0.2;
    let page = Page::of(&results);
    assert!(page.says("The proxy adds 200 µs to the first token and takes 200 µs off each later one.") && page.says("Mixed."));
}

#[test]
fn one_route_alone_is_shown_and_not_compared() {
    for (kept, sentence) in [
        (Route::Direct, "Only the direct route was measured."),
        (Route::Proxied, "Only the route through the proxy was measured."),
    ] {
        let mut results = samples::typical();
        results.parameters.routes = vec![kept];
        let step = &mut results.steps[0];
        step.routes.retain(|result| result.route == kept);
        step.requests.retain(|row| row.route == kept);
        step.differences.clear();
        let typical = step.typical.as_mut().expect("a pair");
        if kept == Route::Direct {
            typical.proxied = None;
        } else {
            typical.direct = None;
        }
        let page = Page::of(&results);
        assert!(page.says(sentence) && page.says("Not compared.") && !page.says("What the proxy adds"), "{kept:?}");
        assert!(page.says("How long it took"));
    }
}

#[test]
fn several_loads_are_compared_and_each_has_its_own_part() {
    let results = samples::sweep();
    let page = Page::of(&results);
    assert_eq!(page.count("details"), results.steps.len());
    assert!(page.says("Under load") && page.says("120 requests/s, Poisson") && page.says("This is the first of 4 loads"));
}

#[test]
fn little_or_nothing_to_show_is_a_page_too() {
    assert!(Page::of(&samples::results(Vec::new())).says("Nothing was measured."));
    assert!(Page::of(&one_step(0, 0.1, 1.0)).says("Too few pairs were answered to say what the proxy adds."));
    for pairs in [1, 2, 3] {
        Page::of(&one_step(pairs, 0.1, 1.0));
    }
}

#[test]
fn equal_values_zeros_and_ends_of_the_scale_are_drawn() {
    for value in [0.0, 1e-9, 1.0, -1.0, 1e12] {
        let mut results = samples::typical();
        all_numbers(&mut results, value);
        Page::of(&results);
    }
}

#[test]
fn what_is_no_number_is_a_dash_and_never_drawn() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut results = samples::sweep();
        all_numbers(&mut results, value);
        assert!(Page::of(&results).says("–"), "{value}");
    }
}

#[test]
fn thousands_of_samples_make_no_larger_page_than_hundreds() {
    let [hundreds, thousands] = [300, 6000].map(|pairs| render(&one_step(pairs, 0.1, 1.0)).len());
    Page::of(&one_step(6000, 0.1, 1.0));
    assert!(thousands < hundreds * 5 / 4, "{hundreds} and {thousands} bytes");
}

/// Sets every number that was measured.
fn all_numbers(results: &mut Results, value: f64) {
    let percentiles = |part: &mut crate::bench::result::Percentiles| {
        (part.mean, part.p50, part.p90, part.p99, part.max) = (value, value, value, value, value);
    };
    for step in &mut results.steps {
        step.requests.iter_mut().flat_map(|row| row.values.values_mut()).for_each(|number| *number = value);
        for found in &mut step.differences {
            (found.estimate, found.low, found.high) = (value, value, value);
        }
        for result in &mut step.routes {
            result.throughput.requests_per_s = value;
            result.throughput.tokens_per_s = value;
            for found in &mut result.metrics {
                (found.mean, found.min, found.p50, found.p90) = (value, value, value, value);
                (found.p99, found.p99_9, found.max) = (value, value, value);
                found.histogram.edges.iter_mut().for_each(|edge| *edge = value);
            }
            if let Some(split) = &mut result.split {
                split.one_way_estimate = value;
                let parts = [&mut split.first_token, &mut split.later_tokens].into_iter();
                parts.flat_map(|parts| [&mut parts.upstream, &mut parts.proxy, &mut parts.network]).for_each(percentiles);
                [&mut split.held, &mut split.jitter].into_iter().for_each(percentiles);
            }
        }
        let typical = step.typical.iter_mut().flat_map(|pair| [&mut pair.direct, &mut pair.proxied]);
        for token in typical.flatten().flatten() {
            token.at = value;
            if let Some(split) = &mut token.split {
                (split.upstream, split.proxy, split.network) = (value, value, value);
            }
        }
        percentiles(&mut step.tool.send_lag);
        step.tool.cpu_us_per_chunk = Some(value);
    }
}

#[test]
fn the_made_up_results_have_every_kind_of_chart() {
    let step = &samples::typical().steps[0];
    assert_eq!(step.paired(Metric::Ttft).len(), 200);
    assert!(step.values(Route::Direct, Metric::Ttft).count() == 200 && step.typical.is_some());
}
