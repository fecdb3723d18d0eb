//! Original tool outputs.

use headroom_compress::address;

/// Tool outputs as the tools printed them. Right answers are read only from this type; the text of an arm has another
/// type.
pub struct Original(Vec<Output>);

/// One of them.
pub struct Output {
    tool: String,
    arguments: String,
    text: String,
}

impl Output {
    /// The tool's name.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// Its arguments, as JSON.
    pub fn arguments(&self) -> &str {
        &self.arguments
    }

    /// What it printed.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Original {
    /// Outputs by tool, arguments and text.
    pub fn of_outputs<const N: usize>(outputs: [(&str, &str, String); N]) -> Self {
        Self(
            outputs
                .into_iter()
                .map(|(tool, arguments, text)| Output {
                    tool: tool.to_owned(),
                    arguments: arguments.to_owned(),
                    text,
                })
                .collect(),
        )
    }

    /// In their original order.
    pub fn outputs(&self) -> &[Output] {
        &self.0
    }

    /// The content address of all outputs, which a key includes.
    pub fn address(&self) -> String {
        address(&self.0.iter().map(|output| address(&output.text)).collect::<String>())
    }
}
