//! The filter's settings for old turns, as `up` makes them: whether they are rewritten, and what models' prompt caches
//! cost.

use serde_json::{Value, json};

/// Models whose prompt caches have prices of their own, as a glob over their names, and one of each in the table. What
/// is here first counts.
const MODELS: [(&str, &str); 14] = [
    ("*claude*", "claude-sonnet-4-5"),
    ("*gpt-4o*", "gpt-4o"),
    ("*gpt-4.1*", "gpt-4.1"),
    ("*gpt-5*", "gpt-5"),
    ("*gemini-2.5*", "gemini-2.5-pro"),
    ("*gemini-3*", "gemini-3.1-pro"),
    ("*deepseek-v4*", "deepseek-v4-pro"),
    ("*deepseek*", "deepseek-chat"),
    ("*kimi*", "kimi-k2.6"),
    ("*glm*", "glm-4.6"),
    ("*mistral-large*", "mistral-large-latest"),
    ("*grok-4*", "grok-4.20"),
    ("*o3*", "o3"),
    ("*o4-mini*", "o4-mini"),
];

/// The filter's section `epochs`. `window`: the tokens that a conversation is to stay below.
pub(super) fn epochs(
    window: Option<&str>,
    read_lifecycle: bool,
    intelligent_context: bool,
) -> anyhow::Result<Value> {
    let mut epochs = json!({
        "prices": prices(), "read_lifecycle": read_lifecycle, "intelligent_context": intelligent_context,
    });
    if let Some(window) = window {
        let tokens: u32 = window
            .parse()
            .map_err(|_| anyhow::anyhow!("--history-window: {window:?} is not a number of tokens"))?;
        epochs["window_tokens"] = tokens.into();
    }
    Ok(epochs)
}

/// What reading and writing the caches of models costs, in percent of the price of input.
fn prices() -> Vec<Value> {
    let each = MODELS.iter().filter_map(|(glob, model)| {
        let price = headroom_prices::find("", model)?.price;
        let percent = |part: f64| (part / price.input * 100.0).round().clamp(0.0, 1_000.0) as u32;
        let (read, write) = (percent(price.cached_read).min(100), percent(price.cached_write));
        (price.input > 0.0).then(|| json!({"model": glob, "read_percent": read, "write_percent": write}))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_that_is_named_has_a_price() {
        assert_eq!(prices().len(), MODELS.len());
        let claude = &prices()[0];
        assert_eq!(claude, &json!({"model": "*claude*", "read_percent": 10, "write_percent": 125}));
        assert_eq!(prices()[1], json!({"model": "*gpt-4o*", "read_percent": 50, "write_percent": 100}));
    }
}
