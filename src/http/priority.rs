//! What a client says of a request's urgency (RFC 9218).

/// The `u` of a Priority field (section 4.1); other members, and what is malformed, are passed over.
pub fn urgency_of(value: &[u8]) -> Option<u8> {
    let members = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    members.rev().find_map(|member| match member.strip_prefix(b"u=")? {
        [digit @ b'0'..=b'7'] | [digit @ b'0'..=b'7', b';', ..] => Some(digit - b'0'),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::urgency_of;

    #[test]
    fn the_urgency_is_read_and_nonsense_passed_over() {
        for (value, urgency) in [
            ("u=1, i", Some(1)),
            ("i,u=7", Some(7)),
            ("u=0;x=1", Some(0)),
            ("u=8", None),
            ("u=", None),
            ("", None),
            ("u=12", None),
            ("u=2, u=4", Some(4)),
        ] {
            assert_eq!(urgency_of(value.as_bytes()), urgency, "{value}");
        }
    }
}
