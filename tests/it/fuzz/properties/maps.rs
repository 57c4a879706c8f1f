//! Source records, as the presets for JSON read them.
//!
//! ```text
//!  0 │ 1 │ …          a digit: the place of the preset; then the record
//! ```

use std::sync::LazyLock;

use retention_signals::formats::NativeRecord;
use retention_signals::formats::native::Decoder;
use retention_signals::maps::{
    Content, EMITTED_MAX, InputFormat, Map, Mapped, Meta, Options, PRESETS, SourceRecord,
    any_currency_decoder,
};

use super::Verdict;

static MAPS: LazyLock<(Vec<Map>, Decoder)> = LazyLock::new(|| {
    let parse = |preset: &retention_signals::maps::Preset| {
        Map::load(preset.name, &Options::new(), Some(b"secret"))
            .ok()
            .filter(|map| *map.input() == InputFormat::Json)
    };
    (PRESETS.iter().filter_map(parse).collect(), any_currency_decoder())
});

/// Whatever a record is, a map gives records that the service can read and reasons that it has, or one refusal.
pub fn maps(bytes: &[u8]) -> Verdict {
    let (maps, decoder) = &*MAPS;
    let Some((choice, record)) = bytes.split_first() else { return Verdict::Refused };
    let map = &maps[usize::from(choice.wrapping_sub(b'0')) % maps.len()];
    let headers: [(&str, &[u8]); 2] =
        [("X-Shopify-Topic", b"orders/create"), ("X-WC-Webhook-Event", b"created")];
    let meta = Meta { headers: &headers, ..Meta::default() };
    let Ok(mapped) = map.records(&SourceRecord { content: Content::Json(record), meta }, decoder) else {
        return Verdict::Refused;
    };
    check(map, mapped, decoder);
    Verdict::Accepted
}

/// What a map has made of a record is bounded, and the service can read it.
pub fn check(map: &Map, mapped: Mapped, decoder: &Decoder) {
    let outputs = mapped.records.len() + mapped.skipped.len();
    assert!((1..=EMITTED_MAX).contains(&outputs), "{outputs} outputs");
    for skip in mapped.skipped {
        assert!(skip < map.skip_reasons().len());
    }
    for record in mapped.records {
        let mut key = Vec::new();
        let native = NativeRecord { input: record.input(), value: &record.value };
        let event = decoder.decode_line(native, None, &mut key).expect("what a map emits can be read");
        assert_eq!(event.time(), record.time);
        assert_eq!(event.customer_key().map(|key| key.bytes), record.key.as_deref());
    }
}
