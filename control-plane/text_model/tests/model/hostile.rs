//! Folders and texts that are invalid, or not what they seem: each gives an error that says which file and why, and never a
//! panic.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use headroom_text_model::{CompressError, MAX_TEXT, Options, TextModel};
use serde_json::{Value, json};

use crate::folder;

const BERT: &str = "bert-base-multilingual-cased";
const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// A copy of a model's folder.
fn copy(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in FILES {
        fs::copy(folder().join(name).join(file), dir.path().join(file)).unwrap();
    }
    dir
}

fn error(folder: &Path) -> String {
    TextModel::load(folder, 1).unwrap_err().to_string()
}

#[test]
fn a_folder_without_a_file_says_which_one() {
    assert!(error(Path::new("/nowhere")).contains("expected a folder with config.json"));
    for file in FILES {
        let dir = copy(BERT);
        fs::remove_file(dir.path().join(file)).unwrap();
        assert!(error(dir.path()).contains(file), "{file}");
        fs::create_dir(dir.path().join(file)).unwrap();
        assert!(error(dir.path()).contains("expected a file"), "{file}");
        fs::remove_dir(dir.path().join(file)).unwrap();
        fs::write(dir.path().join(file), b"").unwrap();
        assert!(error(dir.path()).contains(file), "an empty {file}");
        // no disk has so much, and no memory
        fs::File::create(dir.path().join(file)).unwrap().set_len(1 << 43).unwrap();
        assert!(error(dir.path()).contains("bytes, more than"), "{file}");
    }
}

#[test]
fn weights_in_another_form_are_named() {
    for other in ["pytorch_model.bin", "model.safetensors.index.json"] {
        let dir = copy(BERT);
        fs::rename(dir.path().join("model.safetensors"), dir.path().join(other)).unwrap();
        assert!(error(dir.path()).contains(&format!("found {other}")));
    }
}

#[test]
fn a_link_to_a_file_is_followed_and_one_to_a_device_or_itself_is_not() {
    let dir = copy(BERT);
    let weights = dir.path().join("model.safetensors");
    fs::remove_file(&weights).unwrap();
    symlink(folder().join(BERT).join("model.safetensors"), &weights).unwrap();
    TextModel::load(dir.path(), 1).unwrap();
    for to in [Path::new("/dev/zero"), &weights, Path::new("nowhere")] {
        fs::remove_file(&weights).unwrap();
        symlink(to, &weights).unwrap();
        assert!(error(dir.path()).contains("model.safetensors"), "{}", to.display());
    }
}

#[test]
fn a_configuration_of_another_shape_is_an_error_that_names_it() {
    let dir = copy(BERT);
    let path = dir.path().join("config.json");
    let config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (key, value, said) in [
        ("architectures", json!(["GPT2LMHeadModel"]), "expected BertForTokenClassification"),
        ("architectures", json!([]), "expected BertForTokenClassification"),
        (
            "architectures",
            json!(["XLMRobertaForTokenClassification"]),
            "max_position_embeddings: expected 513",
        ),
        ("hidden_size", json!(0), "hidden_size: expected 1 to"),
        ("hidden_size", json!(1_u64 << 40), "hidden_size: expected 1 to"),
        ("hidden_size", json!(-1), "config.json"),
        ("hidden_size", json!(28), "config.json says"),
        ("num_attention_heads", json!(0), "num_attention_heads"),
        ("num_attention_heads", json!(7), "a multiple of"),
        ("num_hidden_layers", json!(3), "encoder.layer.2"),
        ("num_hidden_layers", json!(1_000_000), "num_hidden_layers: expected 1 to"),
        ("intermediate_size", json!(49), "config.json says"),
        ("vocab_size", json!(10), "they do not belong together"),
        ("vocab_size", json!(5000), "word_embeddings.weight: config.json says"),
        ("max_position_embeddings", json!(64), "max_position_embeddings: expected 512"),
        ("type_vocab_size", json!(0), "type_vocab_size"),
        ("hidden_act", json!("silu"), "hidden_act: expected gelu"),
        ("position_embedding_type", json!("relative_key"), "expected absolute"),
        ("layer_norm_eps", json!("x"), "config.json"),
    ] {
        let mut wrong = config.clone();
        wrong[key] = value.clone();
        fs::write(&path, wrong.to_string()).unwrap();
        let error = error(dir.path());
        assert!(error.contains(said), "{key} {value}: {error}");
    }
}

#[test]
fn a_tokenizer_that_is_none_or_of_another_model_is_an_error() {
    let dir = copy(BERT);
    let path = dir.path().join("tokenizer.json");
    fs::write(&path, "{}").unwrap();
    assert!(error(dir.path()).contains("tokenizer.json"));
    fs::copy(folder().join("xlm-roberta-large").join("tokenizer.json"), &path).unwrap();
    assert!(error(dir.path()).contains("lacks [CLS]"));
    let mut tokenizer: Value =
        serde_json::from_slice(&fs::read(folder().join(BERT).join("tokenizer.json")).unwrap()).unwrap();
    tokenizer["decoder"] = Value::Null;
    fs::write(&path, tokenizer.to_string()).unwrap();
    assert!(error(dir.path()).contains("expected a decoder"));
}

/// Bytes that are tokens of their own are put together only where they stand together, which no probe of a folder shows.
#[test]
fn a_decoder_that_puts_some_tokens_together_is_an_error_and_misplaces_no_word() {
    let dir = copy(BERT);
    let path = dir.path().join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    tokenizer["decoder"] = json!({"type": "ByteFallback"});
    tokenizer["pre_tokenizer"] = json!({"type": "WhitespaceSplit"});
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    let id = vocabulary.remove("the").unwrap();
    vocabulary.insert("<0x41>".to_owned(), id);
    fs::write(&path, tokenizer.to_string()).unwrap();
    let model = TextModel::load(dir.path(), 1).unwrap();
    let error = model.compress("<0x41> <0x41> <0x41> a b c", &Options::of_rate(0.5), &|| true).unwrap_err();
    assert!(error.to_string().contains("does not keep tokens apart"), "{error}");
}

#[test]
fn weights_that_end_early_or_are_none_are_errors() {
    let dir = copy(BERT);
    let path = dir.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(error(dir.path()).contains("model.safetensors"), "{length}");
    }
    let mut bytes = whole.clone();
    for at in (0..whole.len().min(4000)).step_by(7) {
        bytes[at] ^= 0x5a;
        fs::write(&path, &bytes).unwrap();
        // some bytes are names that nobody asks for
        let _ = TextModel::load(dir.path(), 1).map_err(|error| error.to_string());
        bytes[at] = whole[at];
    }
    // values that are not numbers: the text stays, and why is said
    let mut bytes = whole.clone();
    let end = bytes.len();
    for four in bytes[end - 4000..].chunks_exact_mut(4) {
        four.copy_from_slice(&f32::NAN.to_le_bytes());
    }
    fs::write(&path, &bytes).unwrap();
    let model = TextModel::load(dir.path(), 1).unwrap();
    let error = model.compress("the text of a tool", &Options::of_rate(0.5), &|| true).unwrap_err();
    assert!(error.to_string().contains("values that are not numbers"), "{error}");
}

#[test]
fn options_and_texts_beyond_their_bounds_are_refused() {
    let model = TextModel::load(&folder().join(BERT), 1).unwrap();
    let refused = |text: &str, options: &Options| model.compress(text, options, &|| true).unwrap_err();
    for rate in [0.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
        assert!(matches!(refused("a", &Options::of_rate(rate)), CompressError::Rate(_)), "{rate}");
    }
    let none = Options { target_token: Some(0), ..Options::of_rate(0.5) };
    assert!(matches!(refused("a", &none), CompressError::Rate(_)));
    for tokens in [vec![String::new()], vec!["a".to_owned(); 101]] {
        let options = Options { force_tokens: tokens, ..Options::of_rate(0.5) };
        assert!(matches!(refused("a", &options), CompressError::ForceTokens));
    }
    let long = "a".repeat(MAX_TEXT + 1);
    assert!(matches!(refused(&long, &Options::of_rate(0.5)), CompressError::TooLong(_)));
}

#[test]
fn a_text_is_left_as_soon_as_nobody_waits_for_it() {
    let model = TextModel::load(&folder().join(BERT), 1).unwrap();
    let asked = AtomicUsize::new(0);
    let goes_on = || asked.fetch_add(1, Ordering::Relaxed) < 5;
    let text = "the model reads a text of many sentences. ".repeat(500);
    let stopped = model.compress(&text, &Options::of_rate(0.5), &goes_on);
    assert!(matches!(stopped, Err(CompressError::Stopped)), "{stopped:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 6);
}
