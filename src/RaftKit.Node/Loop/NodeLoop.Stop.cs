using RaftKit.Consensus;
using RaftKit.Node.Proposals;

namespace RaftKit.Node.Loop;

internal sealed partial class NodeLoop
{
    /// <summary>
    /// A stop in order: the participants say goodbye (the host's session closes), leadership is handed over, what is being written becomes
    /// durable; each for a bounded time. Then the loop ends.
    /// </summary>
    private sealed class GracefulStop(NodeLoop loop)
    {
        private readonly List<Action<Exception?>> _told = [];
        private Phase _phase;
        private int _participantsLeft;
        private bool _lastWitness;
        private TimeSpan _deadline;

        private enum Phase
        {
            Running,
            Goodbyes,
            Transfer,
            Writes,
            Ended,
        }

        public bool IsStopping => _phase != Phase.Running;

        public void Begin(Action<Exception?> stopped)
        {
            if (loop.IsStopped)
            {
                stopped(loop.Failure);
                return;
            }
            _told.Add(stopped);
            if (IsStopping)
                return;
            Enter(Phase.Goodbyes);
            _participantsLeft = loop._participants.Count;
            foreach (var participant in loop._participants)
                participant.Stopping(() => _participantsLeft--);
        }

        /// <summary>Goes on as far as it can.</summary>
        public void Step()
        {
            if (_phase == Phase.Goodbyes && (_participantsLeft <= 0 || TimeIsUp || !loop.Status.Ready))
            {
                Enter(Phase.Transfer);
                if (loop.Core is { Role: RaftRole.Leader } core && core.TransferLeadership(MemberId.None))
                    loop.CarryOut();
                else
                    Enter(Phase.Writes);
            }
            if (_phase == Phase.Transfer && (loop.Core is not { Role: RaftRole.Leader } || TimeIsUp))
                Enter(Phase.Writes);
            // Once: a busy leader's next message would always be news.
            if (_phase == Phase.Writes && !_lastWitness && loop._witnessing is null)
            {
                loop.WriteWitness();
                _lastWitness = true;
            }
            if (_phase == Phase.Writes && ((loop._writing.Count == 0 && _lastWitness && loop._witnessing is null) || TimeIsUp))
                loop.Stop(null);
        }

        public void Ended(Exception? failure)
        {
            _phase = Phase.Ended;
            foreach (var told in _told)
                loop.Tell(() => told(failure));
            _told.Clear();
        }

        private bool TimeIsUp => loop.Now.Monotonic >= _deadline;

        private void Enter(Phase phase)
        {
            _phase = phase;
            _deadline = loop.Now.Monotonic + loop._options.StopPatience;
        }
    }

    private void Fail(Exception failure)
    {
        Failure = failure;
        NoteFailed(failure);
        Stop(failure);
    }

    // A logger that throws keeps nobody from being told either; there is nobody left to hear of that.
    private void NoteFailed(Exception failure)
    {
        try
        {
            LogFailed(_ports.Logger, failure, Self.Value, failure.Message);
        }
        catch (Exception ofLogger)
        {
            Failure ??= ofLogger;
        }
    }

    private void Stop(Exception? failure)
    {
        IsStopped = true;
        var reason = failure is null ? $"Member {Self} stopped." : $"Member {Self} stopped: {failure.Message}";
        while (_pending.Count > 0)
            Tell(() => _pending.FailAll(reason));
        _reads.FailAll(reason, Tell);
        // Whoever is told may ask again at once.
        NodeInput.Propose[] early = [.. _early];
        _early.Clear();
        foreach (var propose in early)
            Tell(() => propose.Callback?.Failed(ProposalFailure.NotApplied, reason));
        Status = Status with { Role = NoRole, Leader = MemberId.None, Source = MemberId.None, Ready = false };
        // A start that failed (a directory in use, rot) ends before they began.
        foreach (var participant in _participating ? _participants : [])
        {
            Tell(() => participant.StatusChanged(Status));
            Tell(() => participant.Stopped(reason));
        }
        _stop.Ended(failure);
    }

    // Whoever throws when it is told that this is over keeps nobody else from being told.
    private void Tell(Action tell)
    {
        try
        {
            tell();
        }
        catch (Exception failure)
        {
            Failure ??= failure;
            NoteFailed(failure);
        }
    }
}
