//! Any JSON gives a configuration, and says what was wrong with it.

use headroom_compress::{AskedBack, CachePrice, Weights};
use headroom_providers::prompt::Class;

use super::*;

fn parse(json: &str) -> Parsed {
    Config::parse(json.as_bytes()).unwrap()
}

#[test]
fn an_empty_configuration_is_the_default_one() {
    for json in ["", " \n", "{}"] {
        let parsed = parse(json);
        assert_eq!(parsed.config, Config::default());
        assert_eq!((parsed.warnings.len(), parsed.errors), (0, 0));
    }
}

#[test]
fn every_key_is_read() {
    let parsed = parse(
        r#"{"mode":"audit","body_mode":"hold","profile":"aggressive",
            "tools":[{"tool":"Read*","policy":"lossless"},{"tool":"Bash","policy":"off"}],
            "kinds":{"log":"lossless","json":"off","diff":"lossy"},
            "reversible":true,"store_originals":false,"retrieve_tool":"require",
            "rules":[{"host":"*.groq.com","path":"/openai/*","route":"r","provider":"groq","project":"infra","history":"append"},
                {"route":"plain","mode":"off","profile":"lossless","breakpoints":"off","align":"off"}],
            "breakpoints":"1h","align":[{"prompt":"00000000000000ff","stack":"bot","trim":true,
                "lines":[{"line":5,"class":"date"},{"line":7,"class":"UUID"}]},{"prompt":"0123456789abcdef","trim":true}],
            "providers":[{"cluster":"openai","authority":"api.openai.com","path_prefix":"/x/"}],
            "max_body_bytes":1000,"max_block_bytes":900,"min_block_bytes":10,"memo_bytes":5,
            "path_prefixes":["/anthropic/","/openai"],"accept_encoding":"keep","read_usage":false,
            "response_headers":false,"first_frame_timeout_ms":77,"tenant":"t","project":"p","team_header":"X-Team",
            "bodies_in_work":3,"tenant_from":"header:X-Sub",
            "history":"epochs","epochs":{"window_tokens":50000,"step_tokens":9000,"keep_turns":3,"read_lifecycle":false,
                "intelligent_context":false,"weights":{"recency":1,"token_density":9},
                "prices":[{"model":"*claude*","read_percent":10,"write_percent":125}],
                "asked_back":[{"tool":"Grep","percent":40}]},
            "control_plane":{"cluster":"headroom-cp","http_cluster":"pages","timeout_ms":5,"report_interval_ms":20,
                "max_backoff_ms":30,"queue_records":3,"queue_bytes":2048,"blocks_per_record":4,
                "log_messages":true,"log_bytes":11,"token":"s3cret"}}"#,
    );
    assert_eq!((&parsed.warnings, parsed.errors), (&Vec::new(), 0));
    let config = parsed.config;
    assert_eq!(config.store_originals, Some(false));
    assert_eq!(config.mode, Mode::Audit);
    assert_eq!(config.body_mode, BodyMode::Hold);
    assert_eq!(config.engine.profile, Profile::Aggressive);
    assert_eq!(
        config.engine.tools,
        [
            ToolRule { pattern: "Read*".to_owned(), policy: Policy::Lossless },
            ToolRule { pattern: "Bash".to_owned(), policy: Policy::Off }
        ]
    );
    assert_eq!(config.engine.kinds, [(Kind::Json, Policy::Off), (Kind::Log, Policy::Lossless)]);
    let provider = Some("groq".to_owned());
    let [host, path, route] = ["*.groq.com", "/openai/*", "r"].map(|glob| Some(glob.to_owned()));
    let treatment = Treatment {
        mode: Mode::Audit,
        profile: Profile::Aggressive,
        breakpoints: Some(Lifetime::OneHour),
        align: true,
        ..Treatment::default()
    };
    let plain = Treatment {
        mode: Mode::Off,
        profile: Profile::Lossless,
        rewrites_history: true,
        ..Treatment::default()
    };
    assert_eq!(
        config.rules,
        [
            Rule { host, path, route, treatment, provider, project: Some("infra".to_owned()) },
            Rule {
                host: None,
                path: None,
                route: Some("plain".to_owned()),
                treatment: plain,
                provider: None,
                project: None,
            },
        ]
    );
    assert_eq!(config.breakpoints, Some(Lifetime::OneHour));
    assert!(config.rewrites_history);
    let weights = Weights { recency: 1, token_density: 9, ..Weights::default() };
    let epochs = Epochs {
        window_tokens: 50_000,
        step_tokens: 9_000,
        keep_turns: 3,
        read_lifecycle: false,
        intelligent_context: false,
        weights,
        prices: vec![CachePrice { model: "*claude*".to_owned(), read_percent: 10, write_percent: 125 }],
        asked_back: vec![AskedBack { tool: "Grep".to_owned(), percent: 40 }],
    };
    assert_eq!(config.epochs, epochs);
    assert_eq!(config.engine(config.treatment()).epochs.as_deref(), Some(&epochs));
    assert_eq!(config.engine(treatment).epochs, None);
    let lines = vec![(5, Class::Date), (7, Class::Uuid)];
    assert_eq!(
        config.align,
        [
            align::Rule { prompt: 0xff, lines, trim: true },
            align::Rule { prompt: 0x0123_4567_89ab_cdef, lines: Vec::new(), trim: true }
        ]
    );
    assert!(config.reversible);
    assert_eq!(config.retrieve_tool, RetrieveTool::Require);
    let provider = Provider {
        cluster: "openai".to_owned(),
        authority: Some("api.openai.com".to_owned()),
        path_from: String::new(),
        path_prefix: "/x".to_owned(),
    };
    assert_eq!(config.providers, [provider]);
    assert_eq!(config.engine.max_body_bytes, 1000);
    assert_eq!(config.engine.max_block_bytes, 900);
    assert_eq!(config.engine.min_block_bytes, 10);
    assert_eq!(config.memo_bytes, 5);
    assert_eq!(config.path_prefixes, ["/anthropic", "/openai"]);
    assert_eq!(config.accept_encoding, AcceptEncoding::Keep);
    assert!(!config.read_usage && !config.response_headers);
    assert_eq!(config.first_frame_timeout_ms, 77);
    assert_eq!((config.tenant.as_str(), config.project.as_str()), ("t", "p"));
    assert_eq!(config.team_header, "x-team");
    assert_eq!(config.tenant_from, TenantSource::Header("x-sub".to_owned()));
    assert_eq!(config.bodies_in_work, 3);
    assert_eq!(
        config.control_plane,
        Some(ControlPlane {
            cluster: "headroom-cp".to_owned(),
            http_cluster: "pages".to_owned(),
            timeout_ms: 5,
            report_interval_ms: 20,
            max_backoff_ms: 30,
            queue_records: 3,
            queue_bytes: 2048,
            blocks_per_record: 4,
            log_messages: true,
            log_bytes: 11,
            token: Token::new("s3cret").unwrap(),
        })
    );
}

#[test]
fn a_rule_of_the_aligner_that_cannot_be_read_is_left_out_and_counted() {
    let sound = r#"{"prompt":"00000000000000ff","lines":[{"line":1,"class":"time"}]}"#;
    for rule in [
        r#"{"lines":[{"line":1,"class":"time"}]}"#,
        r#"{"prompt":"xyz","lines":[{"line":1,"class":"time"}]}"#,
        r#"{"prompt":"00000000000000ff"}"#,
        r#"{"prompt":"00000000000000ff","lines":[]}"#,
        r#"{"prompt":"00000000000000ff","lines":[1]}"#,
        r#"{"prompt":"00000000000000ff","lines":{"line":1}}"#,
        r#"{"prompt":"00000000000000ff","lines":[{"line":0,"class":"time"}]}"#,
        r#"{"prompt":"00000000000000ff","lines":[{"line":1,"class":"listing"}]}"#,
        r#"{"prompt":"00000000000000ff","lines":[{"line":1}]}"#,
        r#"{"prompt":"00000000000000ff","lines":[{"class":"time"}]}"#,
        r#"{"prompt":"00000000000000ff","lines":[{"line":1,"class":"time","at":2}]}"#,
        r#"{"prompt":"00000000000000ff","lines":[{"line":1,"class":"time"}],"trimm":true}"#,
        "7",
    ] {
        let parsed = parse(&format!(r#"{{"align":[{rule},{sound}]}}"#));
        assert_eq!(parsed.config.align.len(), 1, "{rule}");
        assert!(parsed.errors > 0 && !parsed.warnings.is_empty(), "{rule}");
    }
    let parsed = parse(r#"{"align":{},"breakpoints":"10m","rules":[{"breakpoints":"7","align":"maybe"}]}"#);
    assert_eq!((parsed.config.align.len(), parsed.config.breakpoints, parsed.errors), (0, None, 4));
    let many = format!(r#"{{"align":[{}]}}"#, vec![sound; 300].join(","));
    assert_eq!((parse(&many).config.align.len(), parse(&many).errors), (256, 44));
}

#[test]
fn who_names_tenants_is_one_of_those_that_are_known() {
    for (text, source) in [
        ("configured", TenantSource::Configured),
        ("client", TenantSource::Client),
        ("key", TenantSource::Key),
        ("peer", TenantSource::Peer),
        ("token", TenantSource::Token),
    ] {
        let parsed = parse(&format!(r#"{{"tenant_from":"{text}"}}"#));
        assert_eq!((parsed.config.tenant_from, parsed.errors), (source, 0));
    }
    for text in ["header:", "header:a b", "Client", "anyone"] {
        let parsed = parse(&format!(r#"{{"tenant_from":"{text}"}}"#));
        assert_eq!((parsed.config.tenant_from, parsed.errors), (TenantSource::Configured, 1), "{text}");
    }
}

#[test]
fn what_cannot_be_read_of_old_turns_leaves_them_as_they_are() {
    for (json, errors) in [
        (r#"{"history":"epoch"}"#, 1),
        (r#"{"history":true}"#, 1),
        (r#"{"rules":[{"history":"on"}]}"#, 1),
        (r#"{"epochs":7}"#, 1),
        (r#"{"epochs":{"window_tokens":10}}"#, 1),
        (r#"{"epochs":{"step_tokens":100000}}"#, 1),
        (r#"{"epochs":{"keep_turns":0}}"#, 1),
        (r#"{"epochs":{"weights":[1]}}"#, 1),
        (r#"{"epochs":{"weights":{"recency":-1}}}"#, 1),
        (r#"{"epochs":{"prices":[{"model":"*"}]}}"#, 2),
        (r#"{"epochs":{"prices":[{"read_percent":1,"write_percent":1}]}}"#, 0),
        (r#"{"epochs":{"asked_back":[{"tool":"a","percent":101},7]}}"#, 2),
    ] {
        let parsed = parse(json);
        assert_eq!(parsed.config.epochs, Epochs::default(), "{json}");
        assert!(!parsed.config.rewrites_history, "{json}");
        assert!(parsed.config.rules.iter().all(|rule| !rule.treatment.rewrites_history), "{json}");
        assert_eq!(parsed.errors, errors, "{json}");
    }
    let entry = r#"{"tool":"a","percent":1}"#;
    let many = parse(&format!(r#"{{"epochs":{{"asked_back":[{}]}}}}"#, vec![entry; 300].join(",")));
    assert_eq!((many.config.epochs.asked_back.len(), many.errors), (256, 1));
    let parsed = parse(r#"{"history":"epochs"}"#);
    assert!(parsed.warnings[0].contains("needs reversible"), "{:?}", parsed.warnings);
}

#[test]
fn what_cannot_be_read_of_the_text_model_leaves_prose_as_it_is() {
    for (json, errors) in [
        (r#"{"text_model":7}"#, 1),
        (r#"{"text_model":{"mode":true}}"#, 1),
        (r#"{"text_model":{"mode":"yes"}}"#, 1),
        (r#"{"rules":[{"text_model":true}]}"#, 1),
        (r#"{"text_model":{"min_tokens":99}}"#, 1),
        (r#"{"text_model":{"timeout_ms":0}}"#, 1),
        (r#"{"text_model":{"timeout_ms":60001,"min_tokens":"many"}}"#, 2),
        // nobody could be asked, or give back what is gone
        (r#"{"text_model":{"mode":"on"}}"#, 0),
        (r#"{"text_model":{"mode":"on"},"reversible":true}"#, 0),
        (r#"{"rules":[{"text_model":"on"}],"control_plane":{"cluster":"c"}}"#, 0),
    ] {
        let parsed = parse(json);
        assert_eq!(parsed.config.text_model, TextModelSettings::default(), "{json}");
        assert!(parsed.config.rules.iter().all(|rule| !rule.treatment.text_model), "{json}");
        assert_eq!((parsed.errors, parsed.warnings.len()), (errors, errors.max(1) as usize), "{json}");
    }
    let parsed = parse(
        r#"{"text_model":{"mode":"on","min_tokens":700,"timeout_ms":5000},"reversible":true,
            "rules":[{"host":"a","text_model":"off"},{"host":"b","mode":"audit"}],"control_plane":{"cluster":"c"}}"#,
    );
    assert_eq!((parsed.errors, parsed.warnings.as_slice()), (0, &[][..]));
    let config = parsed.config;
    assert_eq!(config.text_model, TextModelSettings { is_on: true, min_tokens: 700, timeout_ms: 5_000 });
    let asked = |treatment| config.engine(treatment).text_model;
    assert_eq!(asked(config.treatment()), Some(700));
    assert_eq!([0, 1].map(|rule| asked(config.rules[rule].treatment)), [None, None]);
}

#[test]
fn an_unknown_key_is_a_warning_and_not_an_error() {
    let parsed = parse(r#"{"max_body_byte":1,"control_plane":{"cluster":"c","port":8789}}"#);
    assert_eq!(parsed.errors, 0);
    let warnings = parsed.warnings.join("\n");
    assert!(warnings.contains("max_body_byte ") && warnings.contains("control_plane.port "), "{warnings}");
}

#[test]
fn a_bad_value_falls_back_to_its_default_and_is_counted() {
    let bad = [
        r#"{"body_mode":[]}"#,
        r#"{"max_body_bytes":-1}"#,
        r#"{"max_body_bytes":0}"#,
        r#"{"max_block_bytes":"8m"}"#,
        r#"{"min_block_bytes":1e99}"#,
        r#"{"memo_bytes":99999999999999}"#,
        r#"{"path_prefixes":"/a"}"#,
        r#"{"path_prefixes":["a"]}"#,
        r#"{"accept_encoding":true}"#,
        r#"{"read_usage":"yes"}"#,
        r#"{"response_headers":0}"#,
        r#"{"first_frame_timeout_ms":-1}"#,
        r#"{"tenant":7}"#,
        r#"{"team_header":[]}"#,
        r#"{"kinds":["log"]}"#,
        r#"{"control_plane":"c"}"#,
        r#"{"reversible":"yes"}"#,
        r#"{"retrieve_tool":"maybe"}"#,
        r#"{"providers":[{"authority":"a"}]}"#,
        r#"{"providers":[{"cluster":"c","path_prefix":"x"}]}"#,
        r#"{"providers":[{"cluster":"c","path_from":"x"}]}"#,
    ];
    for json in bad {
        let parsed = parse(json);
        assert_eq!(parsed.config, Config::default(), "{json}");
        assert_eq!(parsed.errors, 1, "{json}");
        assert_eq!(parsed.warnings.len(), 1, "{json}");
    }
}

#[test]
fn one_bad_value_does_not_spoil_the_others() {
    let parsed = parse(
        r#"{"mode":"audit","max_body_bytes":"x","tenant":"t","tools":[7,{"tool":"A","policy":"off"}]}"#,
    );
    assert_eq!(parsed.errors, 2);
    assert_eq!(parsed.config.mode, Mode::Audit);
    assert_eq!(parsed.config.tenant, "t");
    assert_eq!(parsed.config.engine.tools.len(), 2);
}

#[test]
fn a_mode_that_cannot_be_read_passes_everything() {
    for bad in [r#""audti""#, r#""on""#, r#""""#, "1", "true", "[]", "{}"] {
        let parsed = parse(&format!(r#"{{"mode":{bad}}}"#));
        assert_eq!(parsed.config, Config { mode: Mode::Off, ..Config::default() }, "{bad}");
        assert_eq!(parsed.errors, 1, "{bad}");
        assert!(parsed.warnings[0].contains("every request passes untouched"), "{:?}", parsed.warnings);
    }
    let parsed = parse(r#"{"profile":"max"}"#);
    assert_eq!((parsed.config.engine.profile, parsed.errors), (Profile::Lossless, 1));
}

#[test]
fn of_a_rule_that_cannot_be_read_the_requests_pass() {
    for (rule, path, errors) in [
        (r#"{"path":"/x","mode":"of","profile":"lossles"}"#, Some("/x"), 2),
        (r#"{"path":"/x","mood":"off"}"#, Some("/x"), 1),
        (r#"{"path":"/x","host":7,"mode":"optimize"}"#, Some("/x"), 1),
        (r#"{"path":7,"mode":"audit"}"#, None, 1),
        (r#"{"path":"","mode":"audit"}"#, None, 1),
        (r#"{"paht":"/x","profile":"aggressive"}"#, None, 1),
        (r#""off""#, None, 1),
    ] {
        let parsed = parse(&format!(r#"{{"rules":[{{"host":"before"}},{rule}]}}"#));
        assert_eq!(parsed.errors, errors, "{rule}: {:?}", parsed.warnings);
        assert_eq!(parsed.config.mode, Mode::Optimize, "{rule}");
        let [before, careful] = &parsed.config.rules[..] else { panic!("{rule}: {:?}", parsed.config.rules) };
        assert_eq!(before.treatment, Treatment::default(), "{rule}");
        assert_eq!(careful.treatment.mode, Mode::Off, "{rule}");
        assert_eq!(careful.path.as_deref(), path, "{rule}");
        assert_eq!((&careful.host, &careful.route), (&None, &None), "{rule}");
    }
    let parsed = parse(r#"{"rules":{"mode":"off"}}"#);
    assert_eq!((parsed.config.rules.len(), parsed.errors), (1, 1));
    assert_eq!(parsed.config.rules[0].treatment.mode, Mode::Off);
    let parsed = parse(r#"{"rules":[{"path":"/x","profile":"lossles"}]}"#);
    let careful = Treatment { profile: Profile::Lossless, ..Treatment::default() };
    assert_eq!(parsed.config.rules[0].treatment, careful, "what can be careful need not pass");
    let parsed = parse(r#"{"rules":[{"path":"/x","mode":null,"host":null}]}"#);
    assert_eq!((parsed.config.rules[0].treatment, parsed.errors), (Treatment::default(), 0));
}

#[test]
fn of_a_rule_by_tool_that_cannot_be_read_the_outputs_stay() {
    for (rules, tool, errors) in [
        (r#"[{"tool":"x","policy":"some"}]"#, "x", 1),
        (r#"[{"tool":"x"}]"#, "x", 1),
        (r#"[{"tool":"x","policy":null}]"#, "x", 1),
        (r#"[{"tool":"x","policy":"lossy","polcy":"off"}]"#, "x", 1),
        (r#"[{"policy":"lossless"}]"#, "*", 1),
        (r#"[{"tool":["x"],"policy":"lossless"}]"#, "*", 1),
        (r#"[{"tools":"x","policy":"off"}]"#, "*", 2),
        ("[1]", "*", 1),
        ("{}", "*", 1),
    ] {
        let parsed = parse(&format!(r#"{{"tools":{rules}}}"#));
        let careful = ToolRule { pattern: tool.to_owned(), policy: Policy::Off };
        assert_eq!(parsed.config.engine.tools, [careful], "{rules}");
        assert_eq!(parsed.errors, errors, "{rules}: {:?}", parsed.warnings);
    }
}

#[test]
fn forms_need_no_sidecar_and_the_store_does() {
    let parsed = parse(r#"{"reversible":true,"store_originals":true}"#);
    assert!(parsed.config.reversible && parsed.config.gives_traces());
    assert!(parsed.warnings[0].contains("store_originals"), "{:?}", parsed.warnings);
    assert_eq!(parse("{}").config.store_originals, None);
}

#[test]
fn a_kind_whose_policy_cannot_be_read_stays_as_it_is() {
    let parsed = parse(r#"{"kinds":{"log":"some","table":"lossless","logs":"off"}}"#);
    assert_eq!(parsed.config.engine.kinds, [(Kind::Log, Policy::Off), (Kind::Table, Policy::Lossless)]);
    assert_eq!((parsed.errors, parsed.warnings.len()), (1, 2), "{:?}", parsed.warnings);
}

#[test]
fn null_means_not_set() {
    let parsed = parse(r#"{"mode":null,"control_plane":null,"tools":null}"#);
    assert_eq!((parsed.config, parsed.errors), (Config::default(), 0));
}

#[test]
fn a_cluster_name_that_would_not_fit_the_serialized_target_is_refused() {
    let name = "c".repeat(MAX_CLUSTER_NAME_BYTES);
    let fits = parse(&format!(r#"{{"control_plane":{{"cluster":"{name}"}}}}"#));
    assert_eq!(fits.config.control_plane.unwrap().cluster, name);
    let long = parse(&format!(r#"{{"control_plane":{{"cluster":"{name}c"}}}}"#));
    assert_eq!((long.config.control_plane, long.errors), (None, 1));
}

#[test]
fn a_token_is_never_printed() {
    let json = r#"{"control_plane":{"cluster":"c","token":"s3cret"}}"#;
    assert!(!format!("{:?}", parse(json)).contains("s3cret"));
    let bad = parse(r#"{"control_plane":{"cluster":"c","token":"s3 cret"}}"#);
    assert_eq!((bad.config.control_plane.unwrap().token, bad.errors), (Token::default(), 1));
    assert!(!bad.warnings.concat().contains("s3"), "{:?}", bad.warnings);
}

#[test]
fn bytes_that_are_no_object_are_refused_with_a_reason() {
    for json in ["[]", "{", "7", "\u{0}"] {
        assert!(!Config::parse(json.as_bytes()).unwrap_err().is_empty());
    }
}

#[test]
fn warnings_are_bounded() {
    let long = format!(r#"{{"mode":"{}"}}"#, "é".repeat(10_000));
    assert!(parse(&long).warnings.iter().all(|warning| warning.len() < 1000));
    let keys: Vec<String> = (0..1000).map(|i| format!(r#""k{i}":1"#)).collect();
    assert_eq!(parse(&format!("{{{}}}", keys.join(","))).warnings.len(), 32);
}
