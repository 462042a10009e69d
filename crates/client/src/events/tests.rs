use super::*;

#[test]
fn a_burst_that_is_too_much_is_told_once_and_counted() {
    let mut waiting = WaitingState::default();
    for _ in 0..2 {
        let pushes = (0..QUEUE_MAX + 5).map(|_| waiting.push(Box::default()));
        let told: Vec<usize> = pushes.filter(|drops| *drops > 0).collect();
        assert_eq!(told, [1, 2, 3, 4, 5]);
        assert_eq!((0..QUEUE_MAX).filter(|_| waiting.pop().is_ok()).count(), QUEUE_MAX);
        assert_eq!(waiting.pop(), Err(5));
        assert_eq!(waiting.pop(), Err(0));
    }
}
