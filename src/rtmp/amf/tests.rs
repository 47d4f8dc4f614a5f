use super::*;
use proptest::prelude::*;

fn object(properties: &[(&'static str, Value<'static>)]) -> Value<'static> {
    Value::Object(properties.iter().map(|(name, value)| (Cow::Borrowed(*name), value.clone())).collect())
}

fn text(text: &'static str) -> Value<'static> {
    Value::String(Cow::Borrowed(text))
}

#[test]
fn reads_every_kind_of_value() {
    let table: &[(&[u8], Value)] = &[
        (&[0, 0x40, 0x08, 0, 0, 0, 0, 0, 0], Value::Number(3.0)),
        (&[1, 0], Value::Boolean(false)),
        (&[1, 7], Value::Boolean(true)),
        (b"\x02\x00\x02hi", text("hi")),
        (b"\x02\x00\x01\xff", text("\u{fffd}")),
        (b"\x03\x00\x01a\x05\x00\x00\x09", object(&[("a", Value::Null)])),
        (b"\x03\x00\x00\x05\x00\x00\x09", object(&[("", Value::Null)])),
        (b"\x05", Value::Null),
        (b"\x06", Value::Undefined),
        (b"\x07\x00\x01", Value::Undefined),
        // The count says nine.
        (b"\x08\x00\x00\x00\x09\x00\x01a\x01\x01\x00\x00\x09", object(&[("a", Value::Boolean(true))])),
        (b"\x0a\x00\x00\x00\x02\x05\x06", Value::Array(vec![Value::Null, Value::Undefined])),
        (b"\x0b\x40\x08\x00\x00\x00\x00\x00\x00\x00\x00", Value::Date(3.0)),
        (b"\x0c\x00\x00\x00\x02hi", text("hi")),
        (b"\x0d", Value::Undefined),
        (b"\x0f\x00\x00\x00\x04<a/>", text("<a/>")),
        (b"\x10\x00\x01C\x00\x01a\x05\x00\x00\x09", object(&[("a", Value::Null)])),
        // AMF3 behind the switch: -1, 128, a string, an array, a dynamic object.
        (b"\x11\x04\xff\xff\xff\xff", Value::Number(-1.0)),
        (b"\x11\x04\x81\x00", Value::Number(128.0)),
        (b"\x11\x06\x05hi", text("hi")),
        (b"\x11\x09\x05\x01\x02\x03", Value::Array(vec![Value::Boolean(false), Value::Boolean(true)])),
        (b"\x11\x0a\x0b\x01\x03a\x06\x00\x01", object(&[("a", text("a"))])),
        // Two objects of one shape: sealed `a`, the second by reference to traits 0.
        (
            b"\x11\x09\x05\x01\x0a\x13\x01\x03a\x04\x01\x0a\x01\x04\x02",
            Value::Array(vec![object(&[("a", Value::Number(1.0))]), object(&[("a", Value::Number(2.0))])]),
        ),
    ];
    for (bytes, value) in table {
        assert_eq!(read_values(bytes).as_deref(), Ok(&[value.clone()][..]), "{bytes:02x?}");
        for cut in 1..bytes.len() {
            assert!(
                matches!(read_values(&bytes[..cut]), Err(AmfError::Truncated(_))),
                "{bytes:02x?} to {cut}"
            );
        }
    }
}

#[test]
fn amf3_is_for_a_single_value() {
    assert_eq!(read_values(b"\x11\x04\x01\x05"), Ok(vec![Value::Number(1.0), Value::Null]));
}

/// 4,000 levels are 16 KB of message; without a bound they overflow the stack and end the process.
#[test]
fn deep_nesting_is_an_error_in_every_container() {
    for level in [&b"\x03\x00\x01a"[..], b"\x08\x00\x00\x00\x01\x00\x01a", b"\x0a\x00\x00\x00\x01"] {
        assert!(matches!(read_values(&level.repeat(4000)), Err(AmfError::TooDeep { .. })));
    }
    for level in [&b"\x09\x03\x01"[..], b"\x0a\x0b\x01\x03a"] {
        let message = [b"\x11", &level.repeat(4000)[..]].concat();
        assert!(matches!(read_values(&message), Err(AmfError::TooDeep { .. })));
    }
    let deepest = [&b"\x0a\x00\x00\x00\x01".repeat(AMF_DEPTH_MAX - 1)[..], b"\x05"].concat();
    assert!(read_values(&deepest).is_ok());
}

#[test]
fn floods_are_errors_and_declared_counts_reserve_nothing() {
    assert!(matches!(read_values(&[5; AMF_VALUES_MAX + 1]), Err(AmfError::TooManyValues { .. })));
    assert!(read_values(&[5; AMF_VALUES_MAX]).is_ok());
    let keys = [&b"\x03"[..], &b"\x00\x01a\x05".repeat(AMF_KEYS_MAX + 1)].concat();
    assert!(matches!(read_values(&keys), Err(AmfError::TooManyKeys { .. })));
    let long = [&b"\x0c\x00\x00\x20\x01"[..], &[b'a'; AMF_STRING_BYTES_MAX + 1]].concat();
    assert!(matches!(read_values(&long), Err(AmfError::StringTooLong { found: 8193, .. })));
    for declared in [&b"\x0a\xff\xff\xff\xff"[..], b"\x11\x09\xff\xff\xff\xff\x01", b"\x0c\x00\x00\x20\x00"] {
        assert!(matches!(read_values(declared), Err(AmfError::Truncated(_))));
    }
}

#[test]
fn unknown_markers_and_broken_references_are_errors() {
    for (message, offset) in [(&b"\x05\x04"[..], 1), (b"\x09", 0), (b"\x12", 0), (b"\x11\x0d", 1)] {
        assert!(
            matches!(read_values(message), Err(AmfError::Marker { offset: found, .. }) if found == offset)
        );
    }
    // A string, traits and a class that writes itself.
    for message in [&b"\x11\x06\x00"[..], b"\x11\x0a\x01", b"\x11\x0a\x07\x01"] {
        assert!(matches!(read_values(message), Err(AmfError::Amf3 { .. })), "{message:02x?}");
    }
}

#[test]
fn property_names_are_found_in_any_case() {
    let value = object(&[("tcurl", text("rtmp://h/a"))]);
    assert_eq!(value.property("tcUrl").and_then(Value::as_str), Some("rtmp://h/a"));
    assert_eq!(value.property("app"), None);
    assert_eq!(Value::Null.property("app"), None);
}

fn any_value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        (-1e9..1e9f64).prop_map(Value::Number),
        ".{0,20}".prop_map(|text| Value::String(Cow::Owned(text))),
    ];
    leaf.prop_recursive(5, 60, 5, |inner| {
        prop::collection::vec((".{1,9}".prop_map(Cow::Owned), inner), 0..5).prop_map(Value::Object)
    })
}

fn write(value: &Value, writer: &mut AmfWriter) {
    match value {
        Value::Number(number) => writer.number(*number),
        Value::Boolean(truth) => writer.boolean(*truth),
        Value::String(text) => writer.string(text),
        Value::Object(properties) => writer.object(|writer| {
            for (name, value) in properties {
                writer.key(name);
                write(value, writer);
            }
        }),
        _ => writer.null(),
    };
}

proptest! {
    #[test]
    fn what_is_written_is_read(values in prop::collection::vec(any_value(), 0..4)) {
        let mut message = Vec::new();
        for value in &values {
            write(value, &mut AmfWriter::new(&mut message));
        }
        prop_assert_eq!(read_values(&message), Ok(values));
    }

    #[test]
    fn any_bytes_are_read_or_refused(message in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_values(&message);
    }
}
