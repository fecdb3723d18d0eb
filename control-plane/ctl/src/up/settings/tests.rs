use super::*;
use crate::profile::ProfileName;
use crate::up::args::{BreakpointsName, ModeName};

fn resolve(args: &UpArgs, variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
    let lookup = |name: &str| {
        let value = variables.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        value.or((name == "HOME").then_some("/home/me")).map(str::to_owned)
    };
    Settings::resolve(args, Environment::new(&lookup))
}

#[test]
fn without_a_word_everything_is_on_loopback_at_the_documented_ports() {
    let settings = resolve(&UpArgs::default(), &[]).unwrap();
    assert_eq!(settings.listen, Endpoint::loopback(8787));
    assert_eq!(settings.http.to_string(), "127.0.0.1:8788");
    assert_eq!(settings.grpc.to_string(), "127.0.0.1:8789");
    assert_eq!(settings.admin(), PathBuf::from("/home/me/.headroom/run/envoy.sock"));
    assert!(!settings.is_open() && settings.token.is_none() && settings.allow_hosts.is_empty());
    assert_eq!(settings.providers.openai.authority(), "api.openai.com");
    assert_eq!(settings.workspace_dir, PathBuf::from("/home/me/.headroom"));
    let mut plugin = settings.plugin_config;
    let bodies = plugin["bodies_in_work"].take();
    assert!(bodies.as_u64().is_some_and(|bodies| (2..=8).contains(&bodies)), "{bodies}");
    assert_eq!(
        plugin.to_string(),
        r#"{"bodies_in_work":null,"body_mode":"strip","control_plane":{"cluster":"headroom","http_cluster":"headroomd_http"},"profile":"balanced","reversible":true,"store_originals":true,"tenant_from":"client"}"#
    );
}

#[test]
fn bodies_in_work_are_said_by_an_argument_or_a_variable_and_tenants_beyond_loopback_by_nobody() {
    let bodies = |args: &UpArgs, vars: &[(&str, &str)]| {
        resolve(args, vars).map(|settings| settings.plugin_config["bodies_in_work"].clone())
    };
    let args = |text: &str| UpArgs {
        anthropic_pre_upstream_concurrency: Some(text.to_owned()),
        ..UpArgs::default()
    };
    assert_eq!(bodies(&args("-1"), &[]).unwrap(), 0);
    assert_eq!(bodies(&args("3"), &[(names::PRE_UPSTREAM_VARIABLE, "5")]).unwrap(), 3);
    assert_eq!(bodies(&UpArgs::default(), &[(names::PRE_UPSTREAM_VARIABLE, "5")]).unwrap(), 5);
    assert!(bodies(&args("many"), &[]).is_err());
    let open = UpArgs { host: Some("0.0.0.0".to_owned()), ..UpArgs::default() };
    let open = resolve(&open, &[("HEADROOM_TOKEN", "t")]).unwrap();
    assert_eq!(open.plugin_config.get("tenant_from"), None);
}

#[test]
fn the_filter_asks_the_text_model_where_it_is_told_to() {
    let told = |args: &UpArgs, vars: &[(&str, &str)]| {
        resolve(args, vars).unwrap().plugin_config.get("text_model").map(ToString::to_string)
    };
    let model = UpArgs { llmlingua: true, ..UpArgs::default() };
    assert_eq!(told(&model, &[("HEADROOM_LLMLINGUA_TIMEOUT_MS", "5000")]), None);
    let args = UpArgs { llmlingua_in_filter: true, ..model };
    assert_eq!(told(&args, &[]).as_deref(), Some(r#"{"mode":"on"}"#));
    let args = UpArgs { llmlingua_timeout_ms: Some(4_000), ..args };
    let variables = [
        ("HEADROOM_LLMLINGUA", "1"),
        ("HEADROOM_LLMLINGUA_IN_FILTER", "true"),
        ("HEADROOM_LLMLINGUA_TIMEOUT_MS", "5000"),
    ];
    assert_eq!(told(&args, &variables).as_deref(), Some(r#"{"mode":"on","timeout_ms":4000}"#));
    assert_eq!(told(&UpArgs::default(), &variables).as_deref(), Some(r#"{"mode":"on","timeout_ms":5000}"#));
}

#[test]
fn an_argument_wins_over_its_variable_and_a_blank_one_counts_as_unset() {
    let args = UpArgs { port: Some("9000".to_owned()), ..UpArgs::default() };
    let variables = [("HEADROOM_PORT", "9100"), ("OPENAI_TARGET_API_URL", "http://127.0.0.1:1/v1")];
    let settings = resolve(&args, &variables).unwrap();
    assert_eq!(settings.listen.port, 9000);
    assert_eq!(settings.http.port(), 9001);
    assert_eq!(settings.providers.openai.authority(), "127.0.0.1:1");

    let settings = resolve(&UpArgs::default(), &[("HEADROOM_PORT", "9100")]).unwrap();
    assert_eq!((settings.listen.port, settings.grpc.port()), (9100, 9102));

    let blank = [("HEADROOM_PORT", " "), ("OPENAI_TARGET_API_URL", "")];
    let settings = resolve(&UpArgs::default(), &blank).unwrap();
    assert_eq!(settings.listen.port, 8787);
    assert_eq!(settings.providers.openai.authority(), "api.openai.com");
}

#[test]
fn port_zero_frees_all_ports_but_those_that_are_given() {
    let args =
        UpArgs { port: Some("0".to_owned()), grpc: Some("127.0.0.1:7000".to_owned()), ..UpArgs::default() };
    let settings = resolve(&args, &[]).unwrap();
    assert_eq!((settings.listen.port, settings.http.port()), (0, 0));
    assert_eq!(settings.grpc.port(), 7000);
    let last = UpArgs { port: Some("65535".to_owned()), ..UpArgs::default() };
    assert_eq!(resolve(&last, &[]).unwrap().http.port(), 0);
}

#[test]
fn what_cannot_be_used_is_named() {
    for (args, variables, name) in [
        (UpArgs { port: Some("http".to_owned()), ..UpArgs::default() }, vec![], "--port"),
        (UpArgs::default(), vec![("HEADROOM_PORT", "70000")], "HEADROOM_PORT"),
        (UpArgs::default(), vec![("HEADROOM_LOG_MESSAGES", "maybe")], "HEADROOM_LOG_MESSAGES"),
        (UpArgs::default(), vec![("HEADROOM_CODE_AWARE_ENABLED", "2")], "HEADROOM_CODE_AWARE_ENABLED"),
        (UpArgs::default(), vec![("ANTHROPIC_TARGET_API_URL", "anthropic")], "ANTHROPIC_TARGET_API_URL"),
        (UpArgs::default(), vec![("HEADROOM_HTTP", "unix:/run/x")], "HEADROOM_HTTP"),
        (UpArgs::default(), vec![("HEADROOM_MODE", "audti")], "HEADROOM_MODE"),
        (UpArgs { llmlingua_in_filter: true, ..UpArgs::default() }, vec![], "--llmlingua-in-filter"),
        (
            UpArgs { llmlingua: true, llmlingua_in_filter: true, ..UpArgs::default() },
            vec![("HEADROOM_LLMLINGUA_TIMEOUT_MS", "60001")],
            "--llmlingua-timeout-ms",
        ),
        (UpArgs::default(), vec![("HEADROOM_PROFILE", "hard")], "HEADROOM_PROFILE"),
        (UpArgs::default(), vec![("HEADROOM_BODY_MODE", "x")], "HEADROOM_BODY_MODE"),
        (UpArgs::default(), vec![("HEADROOM_WORKERS", "0")], "HEADROOM_WORKERS"),
        (UpArgs::default(), vec![("HEADROOM_ALLOWED_HOSTS", "a.b, .*")], "HEADROOM_ALLOWED_HOSTS"),
        (UpArgs { allow_host: vec!["a:80".to_owned()], ..UpArgs::default() }, vec![], "--allow-host"),
        (UpArgs::default(), vec![("HEADROOM_TOKEN_FILE", "/nowhere/token")], "HEADROOM_TOKEN_FILE"),
        (UpArgs { host: Some("example.com".to_owned()), ..UpArgs::default() }, vec![], "--host"),
    ] {
        let error = format!("{:#}", resolve(&args, &variables).unwrap_err());
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn whatever_other_machines_reach_makes_it_open() {
    for (args, variables) in [
        (UpArgs { host: Some("0.0.0.0".to_owned()), ..UpArgs::default() }, vec![]),
        (UpArgs::default(), vec![("HEADROOM_HOST", "10.1.2.3")]),
        (UpArgs { http: Some("[::]:1".to_owned()), ..UpArgs::default() }, vec![]),
        (UpArgs::default(), vec![("HEADROOM_GRPC", "0.0.0.0:1")]),
    ] {
        assert!(resolve(&args, &variables).unwrap().is_open(), "{args:?} {variables:?}");
    }
    let local =
        UpArgs { host: Some("[::1]".to_owned()), http: Some("127.0.0.2:1".to_owned()), ..UpArgs::default() };
    assert!(!resolve(&local, &[("HEADROOM_TOKEN", "t")]).unwrap().is_open());
}

#[test]
fn mode_and_names_are_taken_from_options_then_from_variables() {
    let variables = [("HEADROOM_MODE", "Audit"), ("HEADROOM_ALLOWED_HOSTS", "A.example, b")];
    let settings = resolve(&UpArgs::default(), &variables).unwrap();
    assert_eq!(settings.plugin_config["mode"], "audit");
    assert_eq!(settings.allow_hosts, ["a.example", "b"]);
    let args = UpArgs { mode: Some(ModeName::Off), allow_host: vec!["c".to_owned()], ..UpArgs::default() };
    let settings = resolve(&args, &variables).unwrap();
    assert_eq!(
        (&settings.plugin_config["mode"], settings.allow_hosts),
        (&"off".into(), vec!["c".to_owned()])
    );
}

#[test]
fn conversations_begin_with_facts_where_an_option_or_a_variable_says_so() {
    let asked = UpArgs { memory_context: true, ..UpArgs::default() };
    for (args, variables, expected) in [
        (UpArgs::default(), vec![], None),
        (UpArgs::default(), vec![("HEADROOM_MEMORY_CONTEXT", "0")], None),
        (UpArgs::default(), vec![("HEADROOM_MEMORY_CONTEXT", "yes")], Some(&Value::Bool(true))),
        (asked, vec![], Some(&Value::Bool(true))),
    ] {
        let settings = resolve(&args, &variables).unwrap();
        assert_eq!(settings.plugin_config.get("memory_context"), expected, "{variables:?}");
    }
}

#[test]
fn messages_are_logged_by_filter_and_sidecar_alike_or_by_neither() {
    let asked = UpArgs { log_messages: true, ..UpArgs::default() };
    for (args, variables, expected) in [
        (UpArgs::default(), vec![], false),
        (UpArgs::default(), vec![("HEADROOM_LOG_MESSAGES", "off")], false),
        (UpArgs::default(), vec![("HEADROOM_LOG_MESSAGES", "1")], true),
        (asked, vec![], true),
    ] {
        let settings = resolve(&args, &variables).unwrap();
        assert_eq!((settings.log_messages, settings.learn), (expected, false));
        assert_eq!(settings.plugin_config["control_plane"]["log_messages"] == true, expected);
    }
}

#[test]
fn providers_are_said_by_name_with_or_without_a_key_and_upstreams_words_mean_the_same() {
    let args = |names: &[&str]| UpArgs {
        provider: names.iter().map(|name| (*name).to_owned()).collect(),
        ..UpArgs::default()
    };
    let names = |settings: &Settings| {
        settings.served.iter().map(|it| (it.name.clone(), it.is_default)).collect::<Vec<_>>()
    };
    let groq = |is_default: bool| ("groq".to_owned(), is_default);
    let settings = resolve(&args(&["groq", "kimi=K"]), &[("K", "k")]).unwrap();
    assert_eq!(names(&settings), [groq(false), ("moonshot".to_owned(), false)]);
    assert_eq!(settings.served[1].key.as_ref().unwrap().variable, "K");
    assert!(settings.find_local.is_none());
    assert!(resolve(&args(&["local"]), &[]).unwrap().find_local.is_some());
    let upstreams = UpArgs {
        backend: Some("anyllm".to_owned()),
        anyllm_provider: Some("groq".to_owned()),
        ..UpArgs::default()
    };
    assert_eq!(names(&resolve(&upstreams, &[]).unwrap()), [groq(true)]);
    let both = UpArgs { provider: vec!["groq".to_owned()], ..upstreams };
    assert_eq!(names(&resolve(&both, &[]).unwrap()), [groq(true)]);
    let variables = [("HEADROOM_PROVIDERS", "groq, xai"), ("HEADROOM_BACKEND", "groq")];
    assert_eq!(names(&resolve(&UpArgs::default(), &variables).unwrap())[0], groq(true));
    assert!(resolve(&UpArgs::default(), &[("HEADROOM_BACKEND", "anthropic")]).unwrap().served.is_empty());
    for (args, word) in [
        (args(&["groqq"]), "groqq"),
        (args(&["groq", "groq"]), "twice"),
        (args(&["groq=K"]), "K is not set"),
        (UpArgs { backend: Some("vertx".to_owned()), ..UpArgs::default() }, "vertx"),
    ] {
        let error = format!("{:#}", resolve(&args, &[]).unwrap_err());
        assert!(error.contains(word), "{error}");
    }
    let open = UpArgs { host: Some("0.0.0.0".to_owned()), ..args(&["groq=K"]) };
    assert!(resolve(&open, &[("K", "k")]).unwrap_err().to_string().contains("of this machine"));
}

#[test]
fn rules_of_the_aligner_come_from_a_file_and_breakpoints_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("align.json");
    let path = file.display().to_string();
    let variables = [("HEADROOM_ALIGN", path.as_str()), ("HEADROOM_BREAKPOINTS", "5m")];
    assert!(resolve(&UpArgs::default(), &variables).unwrap_err().to_string().contains("--align"));
    std::fs::write(&file, r#"{"align":[{"prompt":"0123456789abcdef"}]}"#).unwrap();
    let settings = resolve(&UpArgs::default(), &variables).unwrap();
    assert_eq!(settings.plugin_config["breakpoints"], "5m");
    assert_eq!(settings.plugin_config["align"][0]["prompt"], "0123456789abcdef");
    let args = UpArgs {
        align: Some(file.clone()),
        breakpoints: Some(BreakpointsName::OneHour),
        ..UpArgs::default()
    };
    assert_eq!(resolve(&args, &[]).unwrap().plugin_config["breakpoints"], "1h");
    assert!(resolve(&UpArgs::default(), &[("HEADROOM_BREAKPOINTS", "10m")]).is_err());
    for other in ["[]", "{}", r#"{"align":{}}"#, r#"{"align":[],"mode":"off"}"#, "x"] {
        std::fs::write(&file, other).unwrap();
        assert!(resolve(&args, &[]).unwrap_err().to_string().contains("--align"), "{other}");
    }
}

#[test]
fn the_filter_config_file_wins_over_the_options() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("filter.json");
    std::fs::write(&file, r#"{"profile":"lossless","tenant":"t"}"#).unwrap();
    let args = UpArgs {
        filter_config: Some(file.clone()),
        profile: Some(ProfileName::Aggressive),
        body_mode: Some(BodyMode::Hold),
        ..UpArgs::default()
    };
    let settings = resolve(&args, &[]).unwrap();
    assert_eq!(settings.plugin_config["profile"], "lossless");
    assert_eq!(settings.plugin_config["tenant"], "t");
    assert_eq!(settings.plugin_config["body_mode"], "hold");

    std::fs::write(&file, "[]").unwrap();
    assert!(resolve(&args, &[]).unwrap_err().to_string().contains("not an object"));
}
