//! The documents of a CSV file, tried one by one.

use std::io::Write;

use super::arguments::TryArguments;
use super::trial::Trial;
use crate::exit::{Exit, Failure};
use crate::formats::csv::{CsvDocuments, DocumentInput, DocumentTable, DocumentValues, JoinedFile};
use crate::formats::native::Decoder;
use crate::history::input::InputFile;
use crate::maps::Content;

/// Groups the lines of a file as the map says, and tries each document. Lines that cannot be read are refused first.
pub(super) fn try_documents(
    trial: &mut Trial<'_>,
    input: &DocumentInput,
    arguments: &TryArguments,
    decoder: &Decoder,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let map = trial.map_name().to_owned();
    let joined = join(input, arguments, &map)?;
    let (name, bytes) = read(&arguments.file)?;
    let table = DocumentTable::new(name, bytes, input, &map)?;
    let documents = CsvDocuments::group(&table, decoder.limits().bytes_max, &mut |unusable| {
        trial.refusal(unusable.line, unusable.refusal, output)
    })?;
    let values = DocumentValues::new(&table, &joined);
    for document in &documents.used {
        match values.value(document) {
            Ok(value) => trial.record(document.line, Content::Document(&value), decoder, output)?,
            Err(refusal) => trial.refusal(document.line, &refusal, output)?,
        }
    }
    Ok(())
}

fn join(input: &DocumentInput, arguments: &TryArguments, map: &str) -> Result<Vec<JoinedFile>, Failure> {
    if let Some(name) = input.with.keys().find(|name| arguments.with.iter().all(|(given, _)| given != *name))
    {
        let message = format!("the map {map} joins another file: give it as --with {name}=FILE");
        return Err(Failure::message(Exit::Usage, message));
    }
    let joined = arguments.with.iter().map(|(name, path)| {
        let (file, bytes) = read(path.as_ref())?;
        JoinedFile::new(name, file, bytes, input, map)
    });
    joined.collect()
}

fn read(path: &std::path::Path) -> Result<(String, Vec<u8>), Failure> {
    let path = if path.as_os_str() == "-" { "/dev/stdin".as_ref() } else { path };
    let file = InputFile::open(path, &|file| Box::new(file))?;
    Ok((file.name.clone(), file.read_all()?))
}
