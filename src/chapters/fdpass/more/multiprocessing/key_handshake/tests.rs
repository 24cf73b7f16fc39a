//! The handshake, against what Python sent, and against itself.

use super::*;

/// The bytes that these hexadecimal digits are.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(std::str::from_utf8);
    pairs.map(|pair| u8::from_str_radix(pair.unwrap(), 16).unwrap()).collect()
}

fn rules(key: &str, only_sha256: bool) -> Rules {
    Rules { key: AuthKey::of(key), only_sha256 }
}

fn begin(side: Side, rules: &Rules) -> (KeyHandshake, Vec<u8>) {
    KeyHandshake::begin(rules, side, "the peer").unwrap()
}

/// What Python 3.11 and 3.12 sent as challenge and as proof, with the key `secret`.
fn recorded() -> [(Vec<u8>, Vec<u8>); 2] {
    let old = (
        bytes("f0b3571650a16fd33a146f9bf1fdbdcdeb988520"),
        bytes("18af33792eaff20f68c2928bfda2dc75"),
    );
    let random = "4b0ba9daec76158af6f521fc9eaabba51a3ac2e3945338d08fa21072e381421277\
                  250166df832429";
    let proof = "48ea4940ec743520c01ade1fa0cb90586fc5040967f60124d64dbecf38e10f63";
    let new = ([SHA256, &bytes(random)].concat(), [SHA256, &bytes(proof)].concat());
    [old, new]
}

#[test]
fn recorded_challenges_are_answered_as_python_does() {
    for (challenge, proof) in recorded() {
        let (mut handshake, first) = begin(Side::Client, &rules("secret", false));
        assert!(first.is_empty());
        let mut reply = Vec::new();
        let frame = [CHALLENGE, &challenge].concat();
        assert!(!handshake.take(&frame, &mut reply).unwrap());
        assert_eq!(reply, framed(&proof));
    }
}

#[test]
fn a_recorded_proof_is_accepted_and_no_other() {
    let [_, (challenge, proof)] = recorded();
    let (handshake, _) = begin(Side::Client, &rules("secret", true));
    let challenge = challenge.try_into().unwrap();
    handshake.check(&challenge, &proof).unwrap();
    for index in 0..proof.len() {
        let mut wrong = proof.clone();
        wrong[index] ^= 1;
        handshake.check(&challenge, &wrong).unwrap_err();
        handshake.check(&challenge, &proof[..index]).unwrap_err();
    }
    // By MD5, of all of the challenge, as Python 3.11 does with one from 3.12.
    let mac = AuthKey::of("secret").prove(Hash::Md5, &challenge);
    let error = handshake.check(&challenge, &mac).unwrap_err().to_string();
    assert!(error.contains("--require-sha256"), "{error}");
    let (handshake, _) = begin(Side::Client, &rules("secret", false));
    handshake.check(&challenge, &mac).unwrap();
    handshake.check(&challenge, &[MD5, &mac].concat()).unwrap();
}

/// Passes frames between two sides until neither has more to send.
fn meet(listener: &Rules, client: &Rules) -> [Result<bool>; 2] {
    let (mut client, _) = begin(Side::Client, client);
    let (mut listener, mut frame) = begin(Side::Listener, listener);
    let mut done = [Ok(false), Ok(false)];
    for turn in (0..2).cycle() {
        let mut reply = Vec::new();
        let side = if turn == 0 { &mut client } else { &mut listener };
        done[turn] = side.take(&frame[4..], &mut reply);
        if reply.is_empty() {
            break;
        }
        frame = reply;
    }
    done
}

#[test]
fn two_who_have_the_same_key_know_each_other_and_others_do_not() {
    let (one, other) = (rules("one", true), rules("other", true));
    let [client, listener] = meet(&one, &one);
    assert!(client.unwrap() && listener.unwrap());
    let [client, listener] = meet(&one, &other);
    let client = client.unwrap_err().to_string();
    assert!(client.contains("did not accept our proof"), "{client}");
    let listener = listener.unwrap_err().to_string();
    assert!(listener.contains("wrong key"), "{listener}");
}

#[test]
fn a_challenge_in_no_known_form_is_not_answered() {
    let long = [b"{sha384}", &[7; 48][..]].concat();
    for (challenge, why) in [
        (&b"{sha256}"[..], "too short: 8 bytes"),
        (&[7; 19], "too short: 19 bytes"),
        (&[7; 21], "neither {sha256} nor {md5}"),
        (&long, "neither {sha256} nor {md5}"),
    ] {
        let (mut handshake, _) = begin(Side::Client, &rules("secret", false));
        let frame = [CHALLENGE, challenge].concat();
        let mut reply = Vec::new();
        let error = handshake.take(&frame, &mut reply).unwrap_err().to_string();
        assert!(error.contains(why) && reply.is_empty(), "{error}");
    }
    let (mut handshake, _) = begin(Side::Client, &rules("secret", true));
    let frame = [CHALLENGE, &[7; 20]].concat();
    let error = handshake.take(&frame, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("--require-sha256"), "{error}");
}

#[test]
fn a_key_is_not_printed_even_for_debugging() {
    let (handshake, _) = begin(Side::Listener, &rules("horse", true));
    let text = format!("{handshake:?}");
    assert!(text.contains("AuthKey(..)") && !text.contains("horse"), "{text}");
    assert!(!text.contains("104, 111, 114, 115, 101"), "{text}");
}
