//! Precision, zones, and the two hours of the year that go wrong.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

const BERLIN: Tz = chrono_tz::Europe::Berlin;
/// 2026-11-29.
const NOW: i64 = 1_795_910_400_000_000;
const NEW_YORK: Tz = chrono_tz::America::New_York;

fn utc(when: &When) -> String {
    DateTime::from_timestamp_micros(when.instant.unwrap()).unwrap().format("%Y-%m-%dT%H:%M:%S%.f").to_string()
}

#[test]
fn partial_dates_keep_their_precision() {
    let year = fhir("1950", BERLIN).unwrap();
    assert_eq!((year.precision, year.month(), year.instant), (Precision::Year, None, None));
    let month = fhir("1950-07", BERLIN).unwrap();
    assert_eq!((month.precision, month.month()), (Precision::Month, Some(7)));
    let day = fhir("1950-07-09", BERLIN).unwrap();
    assert_eq!((day.precision, day.zone_source.name()), (Precision::Day, "none"));
    assert_eq!(day.offset_cell(), Cell::Null);
}

#[test]
fn what_does_not_exist_is_refused() {
    for text in [
        "2024-02-31",
        "2023-02-29",
        "0001-01-01",
        "20240101",
        "2024-1-1",
        "2024-01-01T25:00:00Z",
        "",
        "x",
        "2024-01-01T10:00:00+99:00",
        "2024-01-01T10:00:00Zjunk",
        "2024-13",
        "2024-00-10",
    ] {
        assert_eq!(fhir(text, BERLIN), None, "{text}");
    }
}

#[test]
fn an_explicit_offset_wins_and_the_date_is_the_hospitals() {
    let when = fhir("2024-03-01T02:30:00+00:00", NEW_YORK).unwrap();
    assert_eq!(utc(&when), "2024-03-01T02:30:00");
    assert_eq!(when.date, NaiveDate::from_ymd_opt(2024, 2, 29).unwrap());
    assert_eq!(when.offset_cell(), Cell::Int(-300));
    assert_eq!(when.zone_source, ZoneSource::Explicit);
    assert_eq!(fhir("2024-03-01T02:30:00.400Z", NEW_YORK).unwrap().precision, Precision::Milli);
    assert_eq!(fhir("2024-03-01T02:30:00.4001Z", NEW_YORK).unwrap().precision, Precision::Micro);
}

#[test]
fn a_clock_that_goes_back_gives_the_earlier_instant() {
    let when = fhir("2024-10-27T02:30:00", BERLIN).unwrap();
    assert_eq!(utc(&when), "2024-10-27T00:30:00");
    // No offset is the flag: nothing says which of the two it was.
    assert_eq!((when.offset_cell(), when.zone_source), (Cell::Null, ZoneSource::Site));
    assert_eq!(fhir("2024-10-27T02:30:00+01:00", BERLIN).unwrap().offset_cell(), Cell::Int(60));
    // All that is shown twice has one place; what is before and behind it keeps its own.
    let place = |text: &str| fhir(text, BERLIN).unwrap().place(BERLIN) / 1_000_000 - 1_729_987_200;
    let places =
        ["01:59:59", "02:00:00", "02:31:07.5", "02:59:59", "03:00:00"].map(|t| place(&format!("2024-10-27T{t}")));
    assert_eq!(places, [-1, 0, 0, 0, 7200]);
}

#[test]
fn a_time_that_the_clock_skips_keeps_the_offset_before() {
    let when = fhir("2024-03-31T02:30:00", BERLIN).unwrap();
    assert_eq!(utc(&when), "2024-03-31T01:30:00");
    assert_eq!(when.date, NaiveDate::from_ymd_opt(2024, 3, 31).unwrap());
    assert_eq!((when.offset_cell(), when.place(BERLIN)), (Cell::Null, when.instant.unwrap()));
    let apia = fhir("2011-12-30T12:00:00", chrono_tz::Pacific::Apia).unwrap();
    assert_eq!(apia.date, NaiveDate::from_ymd_opt(2011, 12, 30).unwrap());
}

#[test]
fn formats_are_strict() {
    let german = DateFormat::new("%d.%m.%Y").unwrap();
    assert!(german.parse("31.02.2024", BERLIN, NOW).is_none());
    assert!(german.parse("03/04/2024", BERLIN, NOW).is_none());
    assert!(german.parse("03.04.24", BERLIN, NOW).is_none());
    assert_eq!(german.parse("3.4.2024", BERLIN, NOW).unwrap().month(), Some(4));
    let us = DateFormat::new("%m/%d/%Y %I:%M %p").unwrap();
    assert_eq!(utc(&us.parse("07/04/2024 12:05 AM", NEW_YORK, NOW).unwrap()), "2024-07-04T04:05:00");
    assert_eq!(utc(&us.parse("07/04/2024 01:05 PM", NEW_YORK, NOW).unwrap()), "2024-07-04T17:05:00");
    for wrong in ["%d.%m.%y", "%d.%m", "%Y %H:%M", "%Q", "%Y-%m-%d %I:%M"] {
        assert!(DateFormat::new(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_written_midnight_is_the_written_day_whatever_its_offset() {
    for text in ["2020-01-02T00:00:00Z", "2020-01-02T00:00:00.000Z", "2020-01-02T00:00:00+00:00", "2020-01-02T00:00:00"]
    {
        for zone in [BERLIN, NEW_YORK] {
            let day = fhir(text, zone).unwrap().midnight_is_day(zone);
            assert_eq!((day, day.instant_cell()), (fhir("2020-01-02", zone).unwrap(), Cell::Null), "{text} {zone}");
        }
    }
    // Midnight of the zone, in another offset.
    let day = fhir("2020-01-01T23:00:00Z", BERLIN).unwrap().midnight_is_day(BERLIN);
    assert_eq!(day, fhir("2020-01-02", BERLIN).unwrap());
    let time = fhir("2020-01-01T23:00:00Z", NEW_YORK).unwrap();
    assert_eq!(time.midnight_is_day(NEW_YORK), time);
}

#[test]
fn an_offset_may_be_hours_alone_or_a_name() {
    let format = DateFormat::new("%Y-%m-%d %H:%M:%S%z").unwrap();
    let read = |offset: &str| format.parse(&format!("2020-01-02 09:15:00{offset}"), BERLIN, NOW).map(|when| utc(&when));
    for offset in ["+00", "+0000", "+00:00", "Z", " UTC", " GMT", " +00"] {
        assert_eq!(read(offset).as_deref(), Some("2020-01-02T09:15:00"), "{offset}");
    }
    assert_eq!(read("-05").as_deref(), Some("2020-01-02T14:15:00"));
    assert_eq!(read("+0530").as_deref(), Some("2020-01-02T03:45:00"));
    for offset in ["+0", "+00:", "+00:6", "+123", "+00:60", " CET", "  UTC", "+99"] {
        assert_eq!(read(offset), None, "{offset}");
    }
}

#[test]
fn a_fraction_of_zero_is_no_finer_than_a_second() {
    let format = DateFormat::new("%Y-%m-%d %H:%M:%S.%f").unwrap();
    let precision = |text: &str| format.parse(text, BERLIN, NOW).unwrap().precision;
    assert_eq!(precision("2020-01-02 10:00:00.0"), Precision::Second);
    assert_eq!(precision("2020-01-02 10:00:00.5"), Precision::Milli);
}

proptest! {
    #[test]
    fn never_panics(text in ".{0,40}") {
        let _ = fhir(&text, BERLIN);
        if let Ok(format) = DateFormat::new(&text) {
            let _ = format.parse(&text, BERLIN, NOW);
        }
    }

    #[test]
    fn what_is_written_is_read_back(days in 0i32..50_000, minute in 0u32..1440) {
        let date = NaiveDate::from_epoch_days(days).unwrap();
        let format = DateFormat::new("%d.%m.%Y %H:%M").unwrap();
        let civil = date.and_hms_opt(minute / 60, minute % 60, 0).unwrap();
        let text = civil.format("%d.%m.%Y %H:%M").to_string();
        let when = format.parse(&text, BERLIN, NOW).unwrap();
        prop_assert_eq!(when.date, date);
        let back = DateTime::from_timestamp_micros(when.instant.unwrap()).unwrap().with_timezone(&BERLIN);
        let sure = matches!(BERLIN.from_local_datetime(&civil), MappedLocalTime::Single(_));
        let offset = i64::from(back.offset().fix().local_minus_utc() / 60);
        prop_assert_eq!(when.offset_min, sure.then_some(offset));
        // Only an hour that the clock skips reads back as another one.
        if let MappedLocalTime::Single(_) | MappedLocalTime::Ambiguous(..) = BERLIN.from_local_datetime(&civil) {
            prop_assert_eq!(back.naive_local(), civil);
        }
        let iso = civil.format("%Y-%m-%dT%H:%M:00Z").to_string();
        let when = fhir(&iso, BERLIN).unwrap();
        prop_assert_eq!(when.instant.unwrap(), civil.and_utc().timestamp_micros());
    }
}

/// Oracle's own way to write a date.
#[test]
fn a_year_of_two_digits_is_the_last_that_had_begun() {
    let oracle = DateFormat::new("%d-%b-%y").unwrap();
    let year = |text: &str| oracle.parse(text, BERLIN, NOW).map(|when| when.year());
    assert_eq!((year("04-FEB-85"), year("31-DEC-26"), year("01-JAN-27")), (Some(1985), Some(2026), Some(1927)));
    assert_eq!((year("04-FEB-1985"), year("31-FEB-85"), year("04-FEB-5")), (None, None, None));
    assert!(DateFormat::new("%d.%m.%y").is_err(), "day, month and year of two digits each can't be told apart");
}
