//! Who is charged, from what baseline, with what state: scenes that a finance person can read.
