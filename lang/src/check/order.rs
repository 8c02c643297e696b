//! Owns the order of what is defined by each other: what is needed stands first, and circles are found.

/// Lists `0..needs.len()` so that each stands behind what it needs, and the circles among them, each once.
pub(super) fn order(needs: &[Vec<usize>]) -> (Vec<usize>, Vec<Vec<usize>>) {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut states = vec![State::New; needs.len()];
    let (mut ordered, mut circles) = (Vec::new(), Vec::new());
    for start in 0..needs.len() {
        // The way to where we are: each with how many of its needs were looked at.
        let mut way: Vec<(usize, usize)> = Vec::new();
        if states.get(start) == Some(&State::New) {
            way.push((start, 0));
        }
        while let Some((at, looked)) = way.last_mut() {
            let at = *at;
            if let Some(state) = states.get_mut(at) {
                *state = State::Open;
            }
            let Some(&need) = needs.get(at).and_then(|needs| needs.get(*looked)) else {
                if let Some(state) = states.get_mut(at) {
                    *state = State::Done;
                }
                ordered.push(at);
                way.pop();
                continue;
            };
            *looked += 1;
            match states.get(need) {
                Some(State::New) => way.push((need, 0)),
                Some(State::Open) => {
                    let circle = way.iter().map(|(at, _)| *at).skip_while(|at| *at != need);
                    circles.push(circle.collect());
                }
                Some(State::Done) | None => {}
            }
        }
    }
    (ordered, circles)
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn what_is_needed_stands_first_and_circles_are_found() {
        assert_eq!(order(&[vec![2], vec![], vec![1, 1]]), (vec![1, 2, 0], vec![]));
        assert_eq!(order(&[vec![1], vec![2], vec![1]]).1, [vec![1, 2]]);
        assert_eq!(order(&[vec![0]]).1, [vec![0]]);
        // A long way is no deep one.
        let chain: Vec<Vec<usize>> = (0..100_000).map(|index| vec![index + 1]).collect();
        assert_eq!(order(&chain).0.len(), 100_000);
    }
}
