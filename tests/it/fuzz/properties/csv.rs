//! Files of CSV, as the presets for CSV read them, with olist's files to join empty.
//!
//! ```text
//!  0 │ 1 │ …          a digit: the place of the preset; then the file
//! ```

use std::sync::LazyLock;

use retention_signals::formats::csv::{
    CsvDocuments, DocumentInput, DocumentTable, DocumentValues, JoinedFile,
};
use retention_signals::formats::native::Decoder;
use retention_signals::maps::{
    Content, InputFormat, Map, Meta, Options, PRESETS, Preset, SourceRecord, any_currency_decoder,
};

use super::Verdict;
use super::maps::check;

static MAPS: LazyLock<(Vec<(Map, DocumentInput)>, Decoder)> = LazyLock::new(|| {
    let load = |preset: &Preset| {
        let zone = Options::from([("zone".to_owned(), "Europe/Berlin".to_owned())]);
        let map =
            [zone, Options::new()].iter().find_map(|it| Map::load(preset.name, it, Some(b"secret")).ok())?;
        let InputFormat::Csv(table) = map.input() else { return None };
        let input = DocumentInput::new(table).expect("presets are right");
        Some((map, input))
    };
    (PRESETS.iter().filter_map(load).collect(), any_currency_decoder())
});

/// Whatever a file is, its rows are in documents, or in refusals with their line; and each document is mapped or refused.
pub fn csv(bytes: &[u8]) -> Verdict {
    let (maps, decoder) = &*MAPS;
    let Some((choice, file)) = bytes.split_first() else { return Verdict::Refused };
    let (map, input) = &maps[usize::from(choice.wrapping_sub(b'0')) % maps.len()];
    let Ok(table) = DocumentTable::new("file.csv".to_owned(), file.to_vec(), input, map.name()) else {
        return Verdict::Refused;
    };
    let mut refused = 0;
    let documents = CsvDocuments::group(&table, decoder.limits().bytes_max, &mut |unusable| {
        assert!(unusable.line >= 1);
        refused += 1;
        Ok(())
    })
    .expect("refusals are counted only");
    let used: u64 = documents.used.iter().map(|document| document.lines() as u64).sum();
    assert!(used <= documents.lines, "{used} rows of {}", documents.lines);
    assert!(used == documents.lines || refused > 0, "{used} rows of {} and no refusal", documents.lines);
    let joined: Vec<JoinedFile> = input
        .with
        .iter()
        .map(|(name, join)| {
            let empty = format!("{},customer_unique_id\n", join.key);
            JoinedFile::new(name, format!("{name}.csv"), empty.into_bytes(), input, map.name())
                .expect("its key is there")
        })
        .collect();
    let values = DocumentValues::new(&table, &joined);
    let mut verdict = Verdict::Refused;
    for document in &documents.used {
        let Ok(value) = values.value(document) else { continue };
        let record = SourceRecord { content: Content::Document(&value), meta: Meta::default() };
        if let Ok(mapped) = map.records(&record, decoder) {
            check(map, mapped, decoder);
            verdict = Verdict::Accepted;
        }
    }
    verdict
}
