//! Records in the form of a filter's.

use headroom_api::v1::{
    BlockRecord, PrefixDigests, ReportRequest, RequestOutcome, RequestRecord, Timings, Tokens, Usage,
};

/// Tokens that [`record`] saves.
pub(crate) const SAVED: u64 = 1_000;

/// A compressed request to Claude that was answered.
pub(crate) fn record(sequence: u64) -> RequestRecord {
    RequestRecord {
        sequence,
        request_id: format!("hr_{sequence:x}"),
        started_unix_ms: headroomd::clock::now_ms(),
        provider: "anthropic".to_owned(),
        api: "anthropic_messages".to_owned(),
        model: "claude-sonnet-4-5-20250929".to_owned(),
        stack: "wrap_claude".to_owned(),
        project: "demo".to_owned(),
        conversation_id: "0123456789abcdef".to_owned(),
        turn_id: "fedcba9876543210".to_owned(),
        outcome: RequestOutcome::Compressed.into(),
        tokens: Some(Tokens {
            encoding: "o200k_base".to_owned(),
            before: 10_000,
            after: 10_000 - SAVED,
            tool_outputs_before: 4_000,
            tool_outputs_after: 4_000 - SAVED,
            estimate: true,
            tool_outputs_minified: 3_700,
            tool_outputs_new_before: 2_000,
            tool_outputs_new_after: 2_000 - SAVED,
            tool_outputs_new_minified: 1_700,
        }),
        blocks: vec![
            BlockRecord {
                tool: "Bash".to_owned(),
                kind: "json".to_owned(),
                outcome: "json_table".to_owned(),
                tokens_before: 2_000,
                tokens_after: 1_000,
                memo: false,
                new: true,
                pressure: 0,
                ..BlockRecord::default()
            },
            BlockRecord {
                tool: "Read".to_owned(),
                kind: "source".to_owned(),
                outcome: "skipped:no_gain".to_owned(),
                tokens_before: 2_000,
                tokens_after: 2_000,
                memo: true,
                new: false,
                pressure: 0,
                ..BlockRecord::default()
            },
        ],
        timings: Some(Timings {
            body_wait_us: 900,
            compress_us: 700,
            overhead_us: 800,
            first_byte_us: 300_000,
            total_us: 2_500_000,
            admit_us: 0,
            parse_us: 100,
            memory_context_us: 0,
            text_model_us: 0,
        }),
        usage: Some(Usage {
            input_tokens: 1_000,
            output_tokens: 200,
            cache_read_tokens: 8_000,
            cache_write_tokens: 0,
            cache_write_5m_tokens: 0,
            cache_write_1h_tokens: 0,
            reasoning_tokens: 50,
        }),
        status: 200,
        stop_reason: "end_turn".to_owned(),
        body_bytes_before: 40_000,
        body_bytes_after: 36_000,
        ..RequestRecord::default()
    }
}

/// A report of the records with these sequences.
pub(crate) fn report(vm_id: &str, sequences: impl IntoIterator<Item = u64>) -> ReportRequest {
    ReportRequest {
        vm_id: vm_id.to_owned(),
        filter_version: "0.1.0".to_owned(),
        records: sequences.into_iter().map(record).collect(),
        ..ReportRequest::default()
    }
}

/// The same as a turn of a conversation, with the digests of the messages as the client sent them and as they
/// were forwarded.
pub(crate) fn turn(sequence: u64, client: &[u64], forwarded: &[u64]) -> RequestRecord {
    let digests = |prefixes: &[u64]| PrefixDigests {
        system: 5,
        tools: 6,
        messages: u32::try_from(prefixes.len()).unwrap(),
        prefixes: prefixes.to_vec(),
    };
    RequestRecord {
        client_prefix: Some(digests(client)),
        forwarded_prefix: Some(digests(forwarded)),
        forms_version: 1,
        ..record(sequence)
    }
}
