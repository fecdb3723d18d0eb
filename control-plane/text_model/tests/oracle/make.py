#!/usr/bin/env python3
"""Makes the models and the answers that tests/model/oracle.rs compares with: two tiny token classifiers with random weights, and
what the Python package `llmlingua` keeps of 200 texts with them.

It needs PyTorch, which is large, so it is run by hand and its output is committed:

    python3 -m venv /tmp/llmlingua && . /tmp/llmlingua/bin/activate
    pip install torch --index-url https://download.pytorch.org/whl/cpu
    pip install -r control-plane/text_model/tests/oracle/requirements.txt
    python control-plane/text_model/tests/oracle/make.py

On Debian 12, `apt-get install python3-torch` and `python3 -m venv --system-site-packages` do as well. tiktoken downloads
its vocabulary; offline, `--tiktoken` names a folder with cl100k_base.tiktoken, such as that of the crate tiktoken-rs.
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[3]
VOCABULARY_URL = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"

GERMAN = """Die Prüfung der Anlage dauerte länger als geplant, weil drei Messgeräte ausgefallen waren.
Straßenbahnen fahren heute nur bis zum Südbahnhof; danach verkehren Busse im Zehn-Minuten-Takt.
Außerdem müssen alle Änderungen bis Freitag, 17:30 Uhr, vom Ausschuss geprüft und übernommen werden!
„Das ist nicht möglich“, sagte sie – und schloß die Tür.
Der Verbrauch sank um 12,5 % auf 3.480 kWh, obwohl zwei Gebäude dazugekommen sind.
Warum wurde der Fehler nicht früher gemeldet? Niemand weiß es genau.
Donaudampfschifffahrtsgesellschaftskapitäne übernachten gewöhnlich nicht im Maschinenraum.
Bitte überprüfen Sie, ob die Schlüssel größer als 256 Bit sind, bevor Sie fortfahren.""".split("\n")

CHINESE = """服务器在凌晨三点重新启动,之后所有请求都返回错误。
请在周五之前检查配置文件,特别是超时和重试的次数。
这个函数读取文件,解析每一行,然后把结果写入数据库。
为什么缓存没有更新?因为时钟不同步。
上海的气温是 28 度,湿度 65%,风速每秒 4 米。
我们没有找到任何问题!但是日志里有三条警告。
他说:“明天再来。”然后就离开了办公室。
版本 2.3.1 修复了内存泄漏,并且删除了旧的接口。""".split("\n")

MIXED = [
    "Deploy done 🎉🚀 3 pods restarted, 0 errors 😀. Next: 👩‍💻 review!",
    "日本語のテキストと English が混ざっています。テストは 42 件です。",
    "Привет, мир! Ошибка 404 не найдена. Почему?",
    "مرحبا بالعالم، هذا اختبار رقم ١٢٣ للنص العربي.",
    "नमस्ते दुनिया, यह एक परीक्षण है। संख्या १२३।",
    "한국어 문장입니다. 오류가 두 개 있습니다!",
    "🔥🔥🔥 build failed ❌ at step 7️⃣ — retry in 30s ⏳",
    "Ｆｕｌｌｗｉｄｔｈ ｌｅｔｔｅｒｓ ½ ㎏ ① ﬁne ﬂow Å Å x² naïve café cafe\u0301",
    "😀😃😄 🇩🇪🇫🇷 👨‍👩‍👧‍👦 text between emoji 🙂 and after 🙃.",
]

HOSTILE = [
    "",
    " ",
    "\n\n\n",
    "\x00",
    "a\x00b \x00\x00 c\x01d.",
    ".",
    "[CLS] the [SEP] text [PAD] has [UNK] its [MASK] own . [PAD][PAD] end",
    "<s> the </s> text <pad> has <unk> its <mask> own . <pad><pad> end",
    "the [NEW0] text [NEW5]x names [NEW99] stand [NEW100] ins .",
    "##a ##b#c ## # ### d##e",
    "▁a ▁▁b c▁d ▁",
    "don't do not  ' s it 's they 've n't I 'm , . ? ! we're",
    "tab\tand\r\nCRLF\rand\u00a0nbsp\u2028line\u3000wide\u200bzero\ufeffbom.",
    "z\u0351\u0332\u0347a\u0300\u0301\u0302\u0303lgo t\u0336e\u0335x\u0334t\u0337 \u202eright to left\u202c.",
    {"repeat": "a", "times": 20_000},
    {"repeat": ". ", "times": 1500},
    {"repeat": "😀", "times": 700},
    {"repeat": "error ", "times": 1200},
    {"repeat": "9", "times": 3000},
    {"repeat": "no end of a sentence here ", "times": 300},
]


def excerpts(draw, pattern, count, least, most):
    """Parts of the repository's own files, at the beginnings of lines."""
    files = sorted(
        path
        for path in ROOT.glob(pattern)
        if path.is_file() and not {"target", "vendor", "oracle", "node_modules"} & set(path.parts)
    )
    found = []
    while len(found) < count:
        text = draw.choice(files).read_text(encoding="utf-8")
        length = draw.randint(least, most)
        if len(text) < length:
            continue
        start = text.find("\n", draw.randint(0, len(text) - length)) + 1
        found.append(text[start : start + length])
    return found


def of_json(draw):
    def value(depth):
        kind = draw.randint(0, 7 if depth < 3 else 4)
        if kind == 0:
            return draw.randint(-(10**9), 10**12)
        if kind == 1:
            return round(draw.random() * 1000, 4)
        if kind == 2:
            return draw.choice([True, False, None])
        if kind in (3, 4):
            return draw.choice(["error", "user_id", "Zürich", "ok", "2026-11-28T18:00:01Z", "a/b/c.rs", "日志", "x y z"])
        if kind == 5:
            return [value(depth + 1) for _ in range(draw.randint(0, 5))]
        keys = ["id", "name", "status", "createdAt", "count", "message", "tags", "owner_id"]
        return {key: value(depth + 1) for key in draw.sample(keys, draw.randint(1, 6))}

    rows = [value(0) for _ in range(draw.randint(1, 10))]
    return json.dumps(rows, ensure_ascii=draw.random() < 0.3, indent=draw.choice([None, None, 2]))


def of_numbers(draw):
    lines = []
    for row in range(draw.randint(3, 25)):
        kind = draw.randint(0, 2)
        if kind == 0:
            lines.append(" ".join(str(draw.randint(0, 10 ** draw.randint(1, 9))) for _ in range(6)))
        elif kind == 1:
            level = draw.choice(["INFO", "WARN", "ERROR"])
            lines.append(
                f"2026-11-{draw.randint(1, 30):02}T12:{row:02}:07.{draw.randint(0, 999):03}Z {level} "
                f"worker-{draw.randint(1, 9)} took {draw.random() * 900:.2f} ms, 0x{draw.randint(0, 2**32):08x}"
            )
        else:
            lines.append(f"{draw.random():.6f},{draw.randint(0, 1)},-{draw.random() * 1e-5:.3e}")
    return "\n".join(lines)


def texts(draw):
    sentences = lambda pool, most: " ".join(draw.choice(pool) for _ in range(draw.randint(1, most)))
    found = excerpts(draw, "docs/*.md", 40, 80, 1800)
    found += [sentences(GERMAN, 9) for _ in range(25)]
    found += ["".join(draw.choice(CHINESE) for _ in range(draw.randint(1, 9))) for _ in range(25)]
    found += excerpts(draw, "control-plane/src/*.rs", 15, 80, 1500)
    found += excerpts(draw, "control-plane/dashboard/*.js", 10, 80, 1500)
    found += excerpts(draw, "tests/clients/*.py", 5, 80, 1500)
    found += [of_json(draw) for _ in range(25)]
    found += [of_numbers(draw) for _ in range(15)]
    found += MIXED
    found += excerpts(draw, "docs/*.md", 5, 5000, 8000)
    found += ["\n".join(draw.choice(GERMAN + CHINESE + MIXED) for _ in range(90))]
    found += HOSTILE
    found += excerpts(draw, "*.md", 200 - len(found), 100, 2500)
    return found


OPTIONS = [
    {"rate": 0.5},
    {"rate": 0.3, "token_to_word": "first"},
    {"rate": 0.4, "force_tokens": ["\n", ".", "!", "?", ","], "drop_consecutive": True},
    {"rate": 0.35, "force_reserve_digit": True},
    {"rate": 0.25, "force_tokens": ["error", "not ", "\n\n", "3"], "force_reserve_digit": True, "drop_consecutive": True},
    {"target_token": 40},
    {"rate": 0.9, "force_tokens": ["#", "the", "的", "。"]},
    {"rate": 0.05, "force_tokens": [" "]},
]


def models(folder, corpus):
    """The two classifiers, each under the name that the package tells their families by."""
    import torch
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
    from tokenizers import models as tokenizer_models
    from tokenizers import trainers
    from tokenizers.implementations import BertWordPieceTokenizer
    from transformers import (
        BertConfig,
        BertForTokenClassification,
        BertTokenizerFast,
        XLMRobertaConfig,
        XLMRobertaForTokenClassification,
        XLMRobertaTokenizerFast,
    )

    shape = {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "initializer_range": 0.35,
        "num_labels": 2,
    }
    bert = folder / "bert-base-multilingual-cased"
    pieces = BertWordPieceTokenizer(lowercase=False, strip_accents=False)
    pieces.train_from_iterator(corpus, vocab_size=900, min_frequency=1, limit_alphabet=420, show_progress=False)
    tokenizer = BertTokenizerFast(tokenizer_object=pieces._tokenizer, do_lower_case=False)
    torch.manual_seed(26)
    # with rows for the tokens that the package adds, as the published XLM-R model has; it makes up random ones otherwise
    config = BertConfig(vocab_size=len(tokenizer) + 100, max_position_embeddings=512, **shape)
    tokenizer.save_pretrained(bert)
    BertForTokenClassification(config).save_pretrained(bert)

    xlm = folder / "xlm-roberta-large"
    unigram = Tokenizer(tokenizer_models.Unigram())
    unigram.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    unigram.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    unigram.decoder = decoders.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=900, special_tokens=specials, unk_token="<unk>", show_progress=False, initial_alphabet=[]
    )
    unigram.train_from_iterator(corpus, trainer)
    unigram.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    tokenizer = XLMRobertaTokenizerFast(tokenizer_object=unigram)
    torch.manual_seed(62)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer) + 100,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
        layer_norm_eps=1e-5,
        **shape,
    )
    tokenizer.save_pretrained(xlm)
    XLMRobertaForTokenClassification(config).save_pretrained(xlm)
    return [bert, xlm]


def spelled(text):
    return text["repeat"] * text["times"] if isinstance(text, dict) else text


def answer(compressor, text, options):
    """What the package keeps: a digit for each word, and the words' checksum."""
    separator = "\t\t|\t\t"
    try:
        result = compressor.compress_prompt_llmlingua2([text], return_word_label=True, word_sep=separator, **options)
    except (IndexError, ZeroDivisionError) as error:
        return {"raises": type(error).__name__}
    labeled = result["fn_labeled_original_prompt"]
    pairs = [pair.rsplit(" ", 1) for pair in labeled.split(separator)] if labeled else []
    words = "\n".join(word for word, _ in pairs)
    return {
        "kept": "".join(label for _, label in pairs),
        "words": hashlib.sha256(words.encode()).hexdigest()[:16],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiktoken", type=pathlib.Path, metavar="FOLDER")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if arguments.tiktoken:
            name = hashlib.sha1(VOCABULARY_URL.encode()).hexdigest()
            shutil.copy(arguments.tiktoken / "cl100k_base.tiktoken", folder / name)
            os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
        from llmlingua import PromptCompressor

        draw = random.Random(26)
        found = texts(draw)
        assert len(found) == 200, len(found)
        corpus = [text for text in found if isinstance(text, str)] * 2 + GERMAN + CHINESE + MIXED
        cases = [{"text": text, "options": [at % 8, (at * 3 + 5) % 8]} for at, text in enumerate(found)]
        (HERE / "texts.json").write_text(json.dumps({"options": OPTIONS, "cases": cases}, ensure_ascii=False, indent=0) + "\n")
        for model in models(folder, corpus):
            compressor = PromptCompressor(model_name=str(model), device_map="cpu", use_llmlingua2=True)
            answers = []
            for case in cases:
                text = spelled(case["text"])
                answers.append([answer(compressor, text, OPTIONS[option]) for option in case["options"]])
            kept = HERE / model.name
            kept.mkdir(exist_ok=True)
            for file in ["config.json", "tokenizer.json", "model.safetensors"]:
                shutil.copy(model / file, kept / file)
            (HERE / f"{model.name}.answers.json").write_text(json.dumps(answers, indent=0) + "\n")
            raised = sum("raises" in answer for pair in answers for answer in pair)
            print(f"{model.name}: {2 * len(answers)} answers, of which {raised} are errors of the package")


if __name__ == "__main__":
    main()
