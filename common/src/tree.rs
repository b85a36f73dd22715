//! RFC 6962 Merkle tree (SHA-256) over the leaves of a batch, one leaf per owner, so that one owner's rows can be
//! shown with a few hashes and nothing of its neighbours'.

use crate::ids::{Digest, Owner, Seq, SpoolId};

/// Bytes of salt in front of each leaf's record; it hides what a neighbour could otherwise guess.
pub const SALT_BYTES: usize = 16;

/// Hash of a leaf: SHA-256(0x00 ‖ leaf bytes), leaf bytes = salt ‖ record.
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest::of(&[&[0], leaf])
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of(&[&[1], &left.0, &right.0])
}

/// Root of the tree over leaf hashes. The root of no leaves is SHA-256 of nothing (RFC 6962, section 2.1).
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(&[]),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(split_point(many.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// Hashes that lead from leaf `index` to the root, lowest first.
///
/// # Panics
/// If `index` is not below the number of leaves.
pub fn inclusion_proof(leaves: &[Digest], index: usize) -> Vec<Digest> {
    assert!(index < leaves.len(), "leaf {index} of {}", leaves.len());
    if leaves.len() == 1 {
        return Vec::new();
    }
    let split = split_point(leaves.len());
    let (left, right) = leaves.split_at(split);
    let (mut proof, sibling) = if index < split {
        (inclusion_proof(left, index), root(right))
    } else {
        (inclusion_proof(right, index - split), root(left))
    };
    proof.push(sibling);
    proof
}

/// True when `proof` leads from `leaf` at `index` of `count` leaves to `expected`.
pub fn proves(leaf: Digest, index: usize, count: usize, proof: &[Digest], expected: &Digest) -> bool {
    fn climb(leaf: Digest, index: usize, count: usize, proof: &[Digest]) -> Option<Digest> {
        if count == 1 {
            return proof.is_empty().then_some(leaf);
        }
        let (sibling, rest) = proof.split_last()?;
        let split = split_point(count);
        if index < split {
            Some(node_hash(&climb(leaf, index, split, rest)?, sibling))
        } else {
            Some(node_hash(
                sibling,
                &climb(leaf, index - split, count - split, rest)?,
            ))
        }
    }
    index < count && climb(leaf, index, count, proof).as_ref() == Some(expected)
}

/// The largest power of two below `count` (`count` of 2 and more).
fn split_point(count: usize) -> usize {
    1 << (usize::BITS - 1 - (count - 1).leading_zeros())
}

/// Salt of one owner's leaf: known to the node, and to whoever is shown the leaf.
pub fn salt(node_secret: &[u8; 32], spool: SpoolId, seq: Seq, owner: &Owner) -> [u8; SALT_BYTES] {
    let digest = Digest::of(&[
        b"tallyman/salt/1\0",
        node_secret,
        &spool.0,
        &seq.to_le_bytes(),
        &[owner.kind()],
        owner.name().as_bytes(),
    ]);
    digest.0[..SALT_BYTES].try_into().expect("16 of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<Digest> {
        (0..count).map(|n| leaf_hash(&[n])).collect()
    }

    #[test]
    fn known_roots() {
        assert_eq!(
            root(&[]).to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        // RFC 6962 test vector: the hash of an empty leaf.
        assert_eq!(
            leaf_hash(&[]).to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
    }

    #[test]
    fn each_leaf_proves_itself_and_nothing_else() {
        for count in 1..=17u8 {
            let hashes = leaves(count);
            let top = root(&hashes);
            for index in 0..hashes.len() {
                let proof = inclusion_proof(&hashes, index);
                for claimed in 0..hashes.len() {
                    let holds = proves(hashes[index], claimed, hashes.len(), &proof, &top);
                    assert_eq!(holds, claimed == index, "{index} as {claimed} of {count}");
                }
            }
        }
    }
}
