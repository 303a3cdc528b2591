using RaftKit.Consensus;
using RaftKit.Node.Loop;

namespace RaftKit.Node.Reads;

/// <summary>
/// Read points. Linearizable ones (thesis 6.4): all that ask within one turn share one round; a round that nobody can answer is asked
/// again, so a reader waits for a leader rather than failing. Weaker ones wait for a place in the log, or until this member's copy was
/// confirmed lately enough. Whatever rests on a clock is read from the state first, and checked after it (DESIGN promise 8). Loop thread
/// only.
/// </summary>
internal sealed class ReadBarrier(MemberId self, ILeaseClock clock, TimeSpan leastPatience, double clockDrift)
{
    private readonly Dictionary<ulong, Round> _asked = [];
    private readonly PriorityQueue<Round, long> _granted = new();
    private readonly List<Reader> _refused = [];
    private readonly List<Reader> _stale = [];
    private readonly List<Reader> _local = [];
    private PriorityQueue<Reader, long> _behind = new();
    private List<Reader> _waiting = [];
    private List<Reader> _waitingForLease = [];
    private int _count;
    private ulong _token;

    // When the newest round was asked that showed the state to be current; zero before there was one.
    private TimeSpan _confirmed;
    private bool _wantsConfirmation;
    private int _confirmationsAsked;

    public ReadBarrier()
        : this(MemberId.None, BootTimeLeaseClock.Instance, TimeSpan.FromMilliseconds(20), 0)
    {
    }

    public bool HasWaiting => _waiting.Count + _waitingForLease.Count > 0;

    /// <summary>How many wait for their answer, wherever they are.</summary>
    public int Count => _count;

    /// <summary>A reader, which is told as soon as the state is what it asked for.</summary>
    public void Add(IReadCallback callback, ReadConsistency? consistency = null)
    {
        var reader = new Reader(callback, consistency ?? ReadConsistency.Linearizable);
        _count++;
        switch (reader.Consistency.Guarantee)
        {
            case ReadGuarantee.ReadIndex:
                _waiting.Add(reader);
                break;
            case ReadGuarantee.Lease:
                _waitingForLease.Add(reader);
                break;
            case ReadGuarantee.Session:
                _behind.Enqueue(reader, reader.Consistency.Seen!.Seen);
                break;
            case ReadGuarantee.BoundedStaleness:
                reader.Deadline = clock.Now + TimeSpan.FromTicks(Math.Max(leastPatience.Ticks, reader.Consistency.Bound.Ticks));
                _stale.Add(reader);
                break;
            default:
                _local.Add(reader);
                break;
        }
    }

    /// <summary>Starts a round for everybody who asked since the last one.</summary>
    public void Ask(RaftCore core)
    {
        if (_waitingForLease.Count > 0)
        {
            Ask(core, new Round(_waitingForLease, clock.Now, ByLease: true));
            _waitingForLease = [];
        }
        // One at a time is enough to keep the state known as current.
        var confirms = _wantsConfirmation && _confirmationsAsked == 0;
        if (_waiting.Count == 0 && !confirms)
            return;
        _wantsConfirmation = false;
        if (confirms)
            _confirmationsAsked++;
        Ask(core, new Round(_waiting, clock.Now, ByLease: false) { Confirms = confirms });
        _waiting = [];
    }

    /// <summary>
    /// Those whom nobody could answer ask again, once a tick; whoever gave up waiting is forgotten, so that a time without a leader gathers
    /// none.
    /// </summary>
    public void Tick()
    {
        foreach (var reader in _refused)
            (reader.Consistency.Guarantee == ReadGuarantee.Lease ? _waitingForLease : _waiting).Add(reader);
        _refused.Clear();
        _count -= _waiting.RemoveAll(static reader => reader.Callback.IsAbandoned);
        _count -= _waitingForLease.RemoveAll(static reader => reader.Callback.IsAbandoned);
        _count -= _stale.RemoveAll(static reader => reader.Callback.IsAbandoned);
        if (_behind.UnorderedItems.Any(static item => item.Element.Callback.IsAbandoned))
        {
            var left = _behind.UnorderedItems.Where(static item => !item.Element.Callback.IsAbandoned).ToList();
            _count -= _behind.Count - left.Count;
            _behind = new PriorityQueue<Reader, long>(left);
        }
        if (_stale.Count == 0)
            return;
        _wantsConfirmation = true;
        GiveUpOnStale();
    }

    /// <summary>A round ended.</summary>
    /// <param name="grant">How.</param>
    /// <param name="leads">This member leads, so that it is its own lease that a grant rests on.</param>
    public void Granted(in ReadGrant grant, bool leads)
    {
        if (!_asked.Remove(grant.Token, out var round))
            return;
        if (round.Confirms)
            _confirmationsAsked--;
        if (grant.Refused)
            _refused.AddRange(round.Readers);
        else
            _granted.Enqueue(round with { Term = grant.Term, ByLease = grant.ByLease, RestsOnOwnLease = grant.ByLease && leads }, grant.Index.Value);
    }

    /// <summary>The state machines hold everything up to this index: answers whoever waited for that.</summary>
    /// <param name="applied">The index.</param>
    /// <param name="term">The term of the entry there.</param>
    /// <param name="zxid">The same as a zxid.</param>
    /// <param name="leaseEnd">Until when this member's lease holds; <see cref="TimeSpan.MinValue"/> if it has none.</param>
    public void AppliedTo(LogIndex applied, Term term, long zxid, TimeSpan leaseEnd)
    {
        while (_granted.TryPeek(out var round, out var index) && index <= applied.Value)
        {
            _granted.Dequeue();
            // What is applied here was given up by a forced quorum, and nobody has told this member yet (simulator seed 591 of 60 s).
            if (term < round.Term)
            {
                _refused.AddRange(round.Readers);
                continue;
            }
            foreach (var reader in round.Readers)
                Answer(reader, round, zxid, leaseEnd);
            // Whatever had been acknowledged when the round was asked is in the state. A lease says so only while it holds.
            if (!round.RestsOnOwnLease && round.AskedAt > _confirmed)
                _confirmed = round.AskedAt;
        }
        while (_behind.TryPeek(out var reader, out var seen) && seen <= zxid)
        {
            _behind.Dequeue();
            Hand(reader, ReadGuarantee.Session, zxid);
        }
        if (_local.Count > 0)
        {
            // Whoever is answered may ask again at once: in the next round.
            Reader[] local = [.. _local];
            _local.Clear();
            foreach (var reader in local)
                Hand(reader, ReadGuarantee.Local, zxid);
        }
        if (_stale.Count > 0)
            AnswerStale(zxid);
    }

    /// <summary>
    /// Nobody is answered any more. Whoever is told may ask again at once (a session goes on with its next call), and is told again.
    /// </summary>
    /// <param name="reason">Why.</param>
    /// <param name="tell">Tells one, and keeps to itself what that throws.</param>
    public void FailAll(string reason, Action<Action> tell)
    {
        while (TakeAll() is { Count: > 0 } readers)
        {
            foreach (var reader in readers)
                tell(() => reader.Callback.Failed(reason));
        }
    }

    private void Ask(RaftCore core, Round round)
    {
        _asked[++_token] = round;
        core.ReadIndex(_token, round.ByLease);
    }

    private void Answer(Reader reader, Round round, long zxid, TimeSpan leaseEnd)
    {
        reader.Callback.Read();
        // Only now: had this process been stopped before it read, or while it did, another may lead and have acknowledged what is not in
        // that answer.
        if (round.RestsOnOwnLease && clock.Now >= leaseEnd)
        {
            _waiting.Add(reader);
            return;
        }
        _count--;
        reader.Callback.Ready(new ReadPoint(round.ByLease ? ReadGuarantee.Lease : ReadGuarantee.ReadIndex, zxid, TimeSpan.Zero));
    }

    private void Hand(Reader reader, ReadGuarantee guarantee, long zxid)
    {
        reader.Callback.Read();
        _count--;
        reader.Callback.Ready(new ReadPoint(guarantee, zxid, Behind()));
    }

    private void AnswerStale(long zxid)
    {
        Reader[] readers = [.. _stale];
        _stale.Clear();
        foreach (var reader in readers)
        {
            if (Behind() is { } before && before <= reader.Consistency.Bound)
            {
                reader.Callback.Read();
                var behind = Behind()!.Value;
                // So that the next one does not have to wait.
                _wantsConfirmation |= behind > reader.Consistency.Bound / 2;
                if (behind <= reader.Consistency.Bound)
                {
                    _count--;
                    reader.Callback.Ready(new ReadPoint(ReadGuarantee.BoundedStaleness, zxid, behind));
                    continue;
                }
            }
            _wantsConfirmation = true;
            _stale.Add(reader);
        }
    }

    private void GiveUpOnStale()
    {
        var now = clock.Now;
        foreach (var reader in _stale.Where(r => now >= r.Deadline).ToArray())
        {
            _stale.Remove(reader);
            _count--;
            var bound = reader.Consistency.Bound;
            var known = Behind() is { } behind
                ? $"may be {behind.TotalMilliseconds:F0} ms behind"
                : "has not been confirmed by a leader since this member started";
            reader.Callback.TooStale(new StaleReadException(
                $"The copy of member {self} {known}, and this read allows {bound.TotalMilliseconds:F0} ms. No leader answers it. Allow more, read locally, or ask another member.",
                Behind(), bound));
        }
    }

    // Even if this clock is the slowest that there may be.
    private TimeSpan? Behind() => _confirmed == TimeSpan.Zero ? null : (clock.Now - _confirmed) / (1 - clockDrift);

    private List<Reader> TakeAll()
    {
        List<Reader> all =
        [
            .. _asked.Values.Concat(_granted.UnorderedItems.Select(i => i.Element)).SelectMany(round => round.Readers),
            .. _waiting, .. _waitingForLease, .. _refused, .. _stale, .. _local, .. _behind.UnorderedItems.Select(i => i.Element),
        ];
        _asked.Clear();
        _granted.Clear();
        _refused.Clear();
        _stale.Clear();
        _local.Clear();
        _behind.Clear();
        _waiting = [];
        _waitingForLease = [];
        _count = 0;
        return all;
    }

    private sealed class Reader(IReadCallback callback, ReadConsistency consistency)
    {
        public IReadCallback Callback => callback;

        public ReadConsistency Consistency => consistency;

        /// <summary>When it gives up waiting for a confirmation.</summary>
        public TimeSpan Deadline { get; set; }
    }

    private sealed record Round(List<Reader> Readers, TimeSpan AskedAt, bool ByLease)
    {
        /// <summary>Asked to have the state confirmed, for readers that allow it to be behind.</summary>
        public bool Confirms { get; init; }

        public bool RestsOnOwnLease { get; init; }

        /// <summary>What is applied at the granted index is of no older term.</summary>
        public Term Term { get; init; }
    }
}

/// <summary>What an answer rests on.</summary>
internal readonly record struct ReadPoint(ReadGuarantee Guarantee, long Zxid, TimeSpan? Behind);
