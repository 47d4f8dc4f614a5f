//! The page of a run, and of several: one file that needs nothing else and asks nobody for anything.
//!
//! Words and tables are written here, so that they are there without a script and can be searched; the charts are
//! drawn by `assets/page.js` from the reports, which stand in the page as JSON. Names, titles and examples may come
//! from a server under test: every text is escaped, and the Content-Security-Policy forbids all loading.

mod sections;

use std::fmt::Display;

use serde::Serialize;

use super::{compare::Comparison, model::Report, text};

const STYLE: &str = include_str!("assets/page.css");
const SCRIPT: &str = concat!(include_str!("assets/charts.js"), include_str!("assets/page.js"));
/// Nothing is loaded from anywhere. Style and script stand in the page itself, so it has to allow them inline.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'";

/// What the script is told of a run.
#[derive(Serialize)]
struct Charted<'a> {
    /// Empty when there is only one.
    letter: String,
    label: &'a str,
    report: &'a Report,
}

/// The page of one run, UTF-8.
pub fn page(report: &Report) -> String {
    // The charts have no use for it, and it may be long.
    let drawn = Report { viewers: Vec::new(), ..report.clone() };
    let charted = [Charted { letter: String::new(), label: &report.title, report: &drawn }];
    framed(&report.title, &sections::of_run(report), &charted)
}

/// The page of several runs beside each other, UTF-8.
pub fn comparison_page(comparison: &Comparison) -> String {
    let charted: Vec<Charted<'_>> = comparison
        .runs()
        .iter()
        .map(|run| Charted { letter: run.letter.to_string(), label: &run.label, report: &run.report })
        .collect();
    let labels: Vec<&str> = charted.iter().map(|run| run.label).collect();
    framed(&labels.join(" / "), &sections::of_comparison(comparison), &charted)
}

fn framed(title: &str, body: &str, charted: &[Charted<'_>]) -> String {
    let title = escaped(title);
    let reports = embedded(charted);
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
{body}</main>
<script type="application/json" id="reports">{reports}</script>
<script>
{SCRIPT}</script>
</body>
</html>
"#
    )
}

/// JSON that no HTML parser can see anything in: `<`, `>` and `&` occur in strings only, where JSON may escape them.
fn embedded(charted: &[Charted<'_>]) -> String {
    let json =
        serde_json::to_string(charted).expect("reports have text keys and numbers, which JSON can write");
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Text as the content of an element or of an attribute in double quotes. Characters that HTML cannot hold or that
/// turn the direction of what follows are replaced, as on a terminal.
fn escaped(text: impl Display) -> String {
    let text = text::clean(&text.to_string());
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn pages(report: Report) -> [String; 2] {
        let label = report.title.clone();
        let comparison =
            Comparison::new(vec![(label.clone(), report.clone()), (label, sample::run())]).unwrap();
        [page(&report), comparison_page(&comparison)]
    }

    fn tags(page: &str) -> Vec<&str> {
        page.split('<').skip(1).map(|rest| rest.split(['>', ' ']).next().unwrap_or(rest)).collect()
    }

    #[test]
    fn hostile_text_cannot_break_out() {
        for page in pages(sample::hostile()) {
            // Style and script are ours; what is left has come through `escaped` or `embedded`.
            let page = page.replace(STYLE, "").replace(SCRIPT, "");
            assert_eq!(page.matches("<script").count(), 2);
            assert_eq!(page.matches("</script").count(), 2);
            assert_eq!(page.matches("<!").count(), 1);
            assert!(!tags(&page).contains(&"img"));
            assert!(!page.contains("\"'>"));
            // The JSON is not shown; the script cleans what it shows of it.
            let shown = page.split_once("<script").unwrap().0;
            assert!(!shown.contains(['\0', '\u{1b}', '\u{202e}']));
        }
    }

    #[test]
    fn the_embedded_json_is_the_report() {
        for report in [sample::run(), sample::hostile()] {
            let page = page(&report);
            let json = page.split_once("id=\"reports\">").unwrap().1.split_once("</script>").unwrap().0;
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            assert!(value[0]["report"] == serde_json::to_value(&report).unwrap(), "{}", report.title);
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for page in pages(sample::run()) {
            assert!(page.contains(POLICY));
            let asks =
                [" src=", " href=", "url(", "@import", "fetch(", "XMLHttpRequest", "import(", "sendBeacon"];
            let outside = page.split_once("id=\"reports\"").unwrap().0.to_owned() + SCRIPT;
            for asks in asks {
                assert!(!outside.contains(asks), "{asks}");
            }
        }
    }

    #[test]
    fn elements_are_closed_in_order() {
        const VOID: [&str; 3] = ["meta", "!doctype", "wbr"];
        for report in [sample::run(), sample::hostile(), Report::default()] {
            for page in pages(report) {
                let page = page.replace(STYLE, "").replace(SCRIPT, "");
                let mut open = Vec::new();
                for tag in tags(&page) {
                    match tag.strip_prefix('/') {
                        Some(name) => assert_eq!(open.pop(), Some(name)),
                        None if VOID.contains(&tag) => {}
                        None => open.push(tag),
                    }
                }
                assert!(open.is_empty(), "{open:?}");
            }
        }
    }
}
