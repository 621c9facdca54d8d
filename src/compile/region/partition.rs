//! Which nodes of a graph make up a region: a connected set of integer nodes that no
//! path leaves and enters again, so that all of it can run at once.
//!
//! Each node gets a level: how often a path to it has gone from other nodes into
//! integer ones, at most. A path that leaves a set of nodes of one level and comes
//! back has gone through another node, and ends one level higher. So connected
//! integer nodes of one level are a region, and regions wait for each other in no
//! circle.

use std::collections::BTreeSet;

/// A node of a graph whose nodes stand in an order in which they can run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vertex {
    /// Whether it has an integer form.
    pub is_integer: bool,
    /// The nodes before it whose results it reads.
    pub reads: Vec<usize>,
    /// Those of them whose results never are codes: where both nodes are integer they
    /// must be in one region.
    pub bonds: Vec<usize>,
}

/// A region for each node: numbers from 0 on in the order of the regions' first
/// nodes; `None` for nodes without an integer form.
///
/// # Errors
/// Integer nodes that cannot stand in one region with all that they are bound to:
/// between two of them lies a node without an integer form.
pub fn partition(vertices: &[Vertex]) -> Result<Vec<Option<usize>>, BTreeSet<usize>> {
    let bound = Groups::of(vertices, |vertex| &vertex.bonds, |_, _| true);
    let levels = levels(vertices, bound)?;
    let of_one_level = |a: usize, b: usize| levels[a] == levels[b];
    let mut groups = Groups::of(vertices, |vertex| &vertex.reads, of_one_level);
    let mut numbers = vec![None; vertices.len()];
    let mut count = 0;
    let region = |(index, vertex): (usize, &Vertex)| {
        vertex.is_integer.then(|| {
            *numbers[groups.first(index)].get_or_insert_with(|| {
                count += 1;
                count - 1
            })
        })
    };
    Ok(vertices.iter().enumerate().map(region).collect())
}

/// The level of each node; nodes that are bound to each other have one.
fn levels(vertices: &[Vertex], mut bound: Groups) -> Result<Vec<usize>, BTreeSet<usize>> {
    let most = vertices.iter().filter(|v| !v.is_integer).count();
    // Of each group of bound nodes, at its first node.
    let mut levels = vec![0; vertices.len()];
    let firsts: Vec<usize> = (0..vertices.len()).map(|i| bound.first(i)).collect();
    loop {
        let mut has_changed = false;
        for (index, vertex) in vertices.iter().enumerate() {
            let enters = |&from: &usize| {
                let step = vertex.is_integer && !vertices[from].is_integer;
                levels[firsts[from]] + usize::from(step)
            };
            let level = vertex.reads.iter().map(enters).max().unwrap_or(0);
            if level > levels[firsts[index]] {
                levels[firsts[index]] = level;
                has_changed = true;
            }
        }
        if !has_changed {
            return Ok(firsts.into_iter().map(|first| levels[first]).collect());
        }
        // No path enters integer nodes more often than there are others: what has
        // risen above that stands in a circle, and drives itself up.
        let is_torn = |&index: &usize| vertices[index].is_integer && levels[firsts[index]] > most;
        let torn: BTreeSet<usize> = (0..vertices.len()).filter(is_torn).collect();
        let binders = torn.iter().flat_map(|&index| &vertices[index].bonds);
        let binders: BTreeSet<usize> = binders.copied().filter(|b| torn.contains(b)).collect();
        if !binders.is_empty() {
            return Err(binders);
        }
    }
}

/// Integer nodes that belong together.
struct Groups {
    /// Another node of the group that comes earlier; itself for the first.
    earlier: Vec<usize>,
}

impl Groups {
    /// Joins integer nodes along some edges.
    fn of(
        vertices: &[Vertex],
        edges: impl Fn(&Vertex) -> &[usize],
        joins: impl Fn(usize, usize) -> bool,
    ) -> Self {
        let mut groups = Self {
            earlier: (0..vertices.len()).collect(),
        };
        for (index, vertex) in vertices.iter().enumerate().filter(|(_, v)| v.is_integer) {
            for &other in edges(vertex) {
                if vertices[other].is_integer && joins(index, other) {
                    let (a, b) = (groups.first(index), groups.first(other));
                    groups.earlier[a.max(b)] = a.min(b);
                }
            }
        }
        groups
    }

    /// The first node of a node's group.
    fn first(&mut self, mut index: usize) -> usize {
        while self.earlier[index] != index {
            // Paths are halved on the way, so that they stay short.
            self.earlier[index] = self.earlier[self.earlier[index]];
            index = self.earlier[index];
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Nodes that read others; a node that reads is integer unless its place is in
    /// `others`.
    fn graph(reads: &[&[usize]], others: &[usize]) -> Vec<Vertex> {
        let vertex = |(index, reads): (usize, &&[usize])| Vertex {
            is_integer: !others.contains(&index),
            reads: reads.to_vec(),
            bonds: Vec::new(),
        };
        reads.iter().enumerate().map(vertex).collect()
    }

    #[test]
    fn no_integer_node_makes_no_region() {
        assert_eq!(partition(&[]), Ok(vec![]));
        let vertices = graph(&[&[], &[0], &[1]], &[0, 1, 2]);
        assert_eq!(partition(&vertices), Ok(vec![None; 3]));
    }

    #[test]
    fn a_diamond_of_integer_nodes_is_one_region() {
        let vertices = graph(&[&[], &[0], &[0], &[1, 2]], &[]);
        assert_eq!(partition(&vertices), Ok(vec![Some(0); 4]));
    }

    #[test]
    fn a_branch_that_leaves_and_returns_parts_a_diamond() {
        let vertices = graph(&[&[], &[0], &[0], &[1, 2]], &[2]);
        let regions = vec![Some(0), Some(0), None, Some(1)];
        assert_eq!(partition(&vertices), Ok(regions));
    }

    #[test]
    fn a_float_node_between_two_chains_makes_two_regions() {
        let vertices = graph(&[&[], &[0], &[1], &[2], &[3]], &[2]);
        let regions = vec![Some(0), Some(0), None, Some(1), Some(1)];
        assert_eq!(partition(&vertices), Ok(regions));
    }

    #[test]
    fn what_is_not_connected_is_not_one_region() {
        let vertices = graph(&[&[], &[0], &[0], &[1], &[2]], &[0]);
        let regions = vec![None, Some(0), Some(1), Some(0), Some(1)];
        assert_eq!(partition(&vertices), Ok(regions));
    }

    #[test]
    fn bound_nodes_move_to_one_region() {
        // 1 would be of the first region, were it not bound to 4, behind 3.
        let mut vertices = graph(&[&[], &[0], &[0], &[2], &[1, 3]], &[3]);
        assert_eq!(partition(&vertices).unwrap()[1], Some(0));
        vertices[4].bonds = vec![1];
        let regions = vec![Some(0), Some(1), Some(0), None, Some(1)];
        assert_eq!(partition(&vertices), Ok(regions));
    }

    #[test]
    fn nodes_bound_across_a_float_node_are_named() {
        // 0 is bound to 1 and to 3, and from 1 a path leads through 2 to 3.
        let mut vertices = graph(&[&[], &[0], &[1], &[0, 2]], &[2]);
        vertices[1].bonds = vec![0];
        vertices[3].bonds = vec![0];
        assert_eq!(partition(&vertices), Err(BTreeSet::from([0])));
    }

    #[test]
    fn bonds_in_a_circle_of_integer_nodes_are_kept() {
        let mut vertices = graph(&[&[], &[0], &[1], &[0, 2]], &[]);
        vertices[1].bonds = vec![0];
        vertices[3].bonds = vec![0];
        assert_eq!(partition(&vertices), Ok(vec![Some(0); 4]));
    }

    #[test]
    fn a_long_chain_takes_no_long_time() {
        let chain = |index: usize| Vertex {
            is_integer: !index.is_multiple_of(2),
            reads: index.checked_sub(1).into_iter().collect(),
            bonds: Vec::new(),
        };
        let vertices: Vec<Vertex> = (0..4000).map(chain).collect();
        let regions = partition(&vertices).unwrap();
        assert_eq!(regions.iter().flatten().max(), Some(&1999));
    }

    /// Whether a path from a region through another node comes back to it.
    fn comes_back(vertices: &[Vertex], regions: &[Option<usize>], region: usize) -> bool {
        let inside = |index: usize| regions[index] == Some(region);
        // Nodes behind the region and not in it.
        let mut behind = vec![false; vertices.len()];
        for (index, vertex) in vertices.iter().enumerate() {
            let follows = vertex.reads.iter().any(|&r| inside(r) || behind[r]);
            if inside(index) && vertex.reads.iter().any(|&r| behind[r]) {
                return true;
            }
            behind[index] = follows && !inside(index);
        }
        false
    }

    fn vertices() -> impl Strategy<Value = Vec<Vertex>> {
        let vertex = (
            any::<bool>(),
            prop::collection::vec((any::<u8>(), any::<bool>()), 0..4),
        );
        prop::collection::vec(vertex, 0..24).prop_map(|list| {
            let vertex = |(index, (is_integer, reads)): (usize, (bool, Vec<(u8, bool)>))| {
                let earlier = |&(r, _): &(u8, bool)| usize::from(r).checked_rem(index);
                let bound = reads.iter().filter(|(_, is_bound)| *is_bound);
                Vertex {
                    is_integer,
                    reads: reads.iter().filter_map(earlier).collect(),
                    bonds: bound.filter_map(earlier).collect(),
                }
            };
            list.into_iter().enumerate().map(vertex).collect()
        })
    }

    proptest! {
        #[test]
        fn no_path_leaves_a_region_and_comes_back(vertices in vertices()) {
            match partition(&vertices) {
                Ok(regions) => {
                    for region in regions.iter().flatten() {
                        prop_assert!(!comes_back(&vertices, &regions, *region));
                    }
                    for (index, vertex) in vertices.iter().enumerate() {
                        prop_assert_eq!(regions[index].is_some(), vertex.is_integer);
                        for &other in vertex.bonds.iter().filter(|_| vertex.is_integer) {
                            if vertices[other].is_integer {
                                prop_assert_eq!(regions[index], regions[other]);
                            }
                        }
                    }
                }
                Err(binders) => {
                    let bound = vertices.iter().flat_map(|v| &v.bonds);
                    let bound: BTreeSet<usize> = bound.copied().collect();
                    prop_assert!(!binders.is_empty() && binders.is_subset(&bound));
                }
            }
        }
    }
}
