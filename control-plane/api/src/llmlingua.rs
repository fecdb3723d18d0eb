//! Names and numbers of the text model that headroomd and headroomctl share.

/// What a program says that was built without it.
pub const NOT_BUILT: &str = "this program was built without the text model; one with it: \
    `cargo build --release -p headroomd -p headroomctl --features headroomd/llmlingua,headroomctl/llmlingua`";

/// The folder of the model, in the folder of read-mostly files, where no other is named.
pub const FOLDER: &str = "llmlingua";

/// Which part of a text's tokens stays, by what the text is. `None`: such texts stay whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Prose.
    pub text: Option<f64>,
    /// JSON, which is no valid JSON afterwards.
    pub json: Option<f64>,
    /// Source files, which no compiler accepts afterwards.
    pub code: Option<f64>,
}

impl Default for Rates {
    /// Prose alone.
    fn default() -> Self {
        Self { text: Self::EACH.text, json: None, code: None }
    }
}

impl Rates {
    /// Upstream's rates.
    pub const EACH: Self = Self { text: Some(0.3), json: Some(0.35), code: Some(0.4) };

    /// Reads `0.5` (of prose), `auto` (every kind at its own rate), or a list such as `text=0.3,code=0.4,json`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("expected auto, a number above 0 and at most 1, or text=…,json=…,code=…, found {text:?}")
        };
        let rate = |text: &str| text.trim().parse().ok().filter(|rate| Self::is_rate(*rate));
        match text.trim() {
            "auto" => return Ok(Self::EACH),
            one if !one.contains(['=', ',']) && rate(one).is_some() => {
                return Ok(Self { text: rate(one), json: None, code: None });
            }
            _ => {}
        }
        let mut rates = Self { text: None, json: None, code: None };
        for part in text.split(',') {
            let (kind, value) =
                part.split_once('=').map_or((part, None), |(kind, value)| (kind, Some(value)));
            let kind = kind.trim();
            let value = match value {
                None => Self::EACH.named(kind),
                Some(value) => rate(value),
            };
            *rates.named_mut(kind).ok_or_else(wrong)? = Some(value.ok_or_else(wrong)?);
        }
        Ok(rates)
    }

    /// Whether a number is the part of something that stays.
    pub fn is_rate(rate: f64) -> bool {
        rate > 0.0 && rate <= 1.0
    }

    /// The rate of `text`, `json` or `code`.
    pub fn named(&self, name: &str) -> Option<f64> {
        let mut rates = *self;
        rates.named_mut(name).and_then(|rate| *rate)
    }

    /// The same, to be set. `None` of another name.
    pub fn named_mut(&mut self, name: &str) -> Option<&mut Option<f64>> {
        match name {
            "text" => Some(&mut self.text),
            "json" => Some(&mut self.json),
            "code" => Some(&mut self.code),
            _ => None,
        }
    }

    /// The rate of a tool output, by the name of its kind.
    pub fn of_kind(&self, kind: &str) -> Option<f64> {
        match kind {
            "text" => self.text,
            "json" | "json_lines" => self.json,
            "source" => self.code,
            _ => None,
        }
    }
}

/// Checks the name of a device. The model runs on the CPU.
pub fn device(name: &str) -> Result<(), String> {
    match name.trim() {
        "auto" | "cpu" => Ok(()),
        "cuda" | "mps" => {
            Err(format!("the text model runs on the CPU alone: expected auto or cpu, found {name:?}"))
        }
        _ => Err(format!("expected auto, cpu, cuda or mps, found {name:?}")),
    }
}

/// What a marker says of a text that the model has shortened.
pub fn left_out(before: &str, after: &str) -> String {
    let before = before.chars().count();
    let gone = before.saturating_sub(after.chars().count());
    format!("{gone} of {before} characters left out by a text model: words are missing throughout")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_prose_of_each_kind_or_listed() {
        let rates = |text, json, code| Rates { text, json, code };
        for (said, expected) in [
            ("0.5", rates(Some(0.5), None, None)),
            (" 1 ", rates(Some(1.0), None, None)),
            ("auto", Rates::EACH),
            ("code", rates(None, None, Some(0.4))),
            ("text=0.2, json", rates(Some(0.2), Some(0.35), None)),
        ] {
            assert_eq!(Rates::parse(said), Ok(expected), "{said}");
        }
        for wrong in
            ["", "0", "1.5", "-1", "nan", "x", "text=", "text=2", "log=0.3", "0.3,0.4", "text=0.3,", "="]
        {
            assert!(Rates::parse(wrong).unwrap_err().contains("expected auto"), "{wrong}");
        }
        assert_eq!(Rates::default().of_kind("text"), Some(0.3));
        assert_eq!(Rates::default().of_kind("source"), None);
        assert_eq!((Rates::EACH.of_kind("json_lines"), Rates::EACH.of_kind("log")), (Some(0.35), None));
    }

    #[test]
    fn a_device_that_no_build_has_is_refused_by_its_name() {
        assert!(device("auto").is_ok() && device("cpu").is_ok());
        assert!(device("cuda").unwrap_err().contains("on the CPU alone"));
        assert!(device("tpu").unwrap_err().contains("expected auto, cpu, cuda or mps"));
    }
}
