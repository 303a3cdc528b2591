namespace RaftKit.TestKit;

/// <summary>What an operation of the history did to one znode: itself, or those parts of a multi.</summary>
internal sealed record RegisterOperation(HistoryOperation Whole, IReadOnlyList<HistoryOperation> Parts)
{
    public bool IsInfo => Whole.Status == HistoryStatus.Info;
}

/// <summary>One znode as a register.</summary>
internal readonly record struct RegisterState(bool Exists, string Data, int Version, long Owner)
{
    public static readonly RegisterState Absent = new(false, "", 0, 0);

    /// <summary>The state after the operation; null when this state could not have given its result.</summary>
    public RegisterState? Apply(RegisterOperation operation)
    {
        var state = this;
        foreach (var part in operation.Parts)
        {
            if (state.ApplyPart(part, operation.Whole) is not { } next)
                return operation.IsInfo ? this : null;
            state = next;
        }
        return state;
    }

    private RegisterState? ApplyPart(HistoryOperation part, HistoryOperation whole)
    {
        if (whole.Error is { } error)
            return IsRefusedBy(part, error) ? this : null;
        var known = whole.Status == HistoryStatus.Ok;
        switch (part.Kind)
        {
            case HistoryKind.Create:
                return Exists ? null : new RegisterState(true, part.In ?? "", 0, part.Owner);
            case HistoryKind.Get:
                return Exists == (part.Out is not null) && (!Exists || (part.Out == Data && (part.Version ?? Version) == Version))
                    ? this
                    : null;
            case HistoryKind.Exists:
                return part.Exists is null || part.Exists == Exists ? this : null;
            case HistoryKind.Set:
                if (!Exists || (part.ExpectedVersion != -1 && part.ExpectedVersion != Version))
                    return null;
                return known && part.Version is { } after && after != Version + 1
                    ? null
                    : this with { Data = part.In ?? "", Version = Version + 1 };
            case HistoryKind.Delete:
                return Exists && part.ExpectedVersion is var expected && (expected == -1 || expected == Version) ? Absent : null;
            default:
                return Exists && (part.ExpectedVersion == -1 || part.ExpectedVersion == Version) ? this : null;
        }
    }

    private bool IsRefusedBy(HistoryOperation part, string error) => error switch
    {
        // A create may lack its parent; anything else lacks the znode itself.
        "NONODE" or "NOCHILDREN_EPH" => !Exists,
        "NODEEXISTS" => Exists,
        "BADVERSION" => Exists && part.ExpectedVersion != Version,
        "NOTEMPTY" => Exists,
        _ => true,
    };
}

/// <summary>The search for an order of one znode's operations.</summary>
internal sealed class RegisterSearch
{
    private readonly List<RegisterOperation> _operations;
    private readonly long _maxSteps;

    // Calls and returns in the order of time, as a linked list from which linearized operations are taken out and put back.
    private readonly int[] _operationOf;
    private readonly bool[] _isCall;
    private readonly int[] _next;
    private readonly int[] _previous;
    private readonly int[] _returnOf;
    private readonly int _head;
    private int _openReturns;

    public RegisterSearch(List<RegisterOperation> operations, long maxSteps)
    {
        _operations = operations;
        _maxSteps = maxSteps;
        var moments = new List<(long Time, int Order, int Operation)>();
        for (var i = 0; i < operations.Count; i++)
        {
            moments.Add((operations[i].Whole.Call, 0, i));
            // An unknown outcome has no return: it may take effect at any later time, or never.
            if (!operations[i].IsInfo)
                moments.Add((operations[i].Whole.Return, 1, i));
        }
        moments.Sort();
        _head = moments.Count;
        _operationOf = [.. moments.Select(m => m.Operation)];
        _isCall = [.. moments.Select(m => m.Order == 0)];
        _next = new int[_head + 1];
        _previous = new int[_head + 1];
        _returnOf = new int[operations.Count];
        Array.Fill(_returnOf, -1);
        for (var i = 0; i <= _head; i++)
        {
            _next[i] = i == _head ? 0 : i + 1;
            _previous[i] = i == 0 ? _head : i - 1;
            if (i < _head && !_isCall[i])
            {
                _returnOf[_operationOf[i]] = i;
                _openReturns++;
            }
        }
    }

    public bool Decided { get; private set; } = true;

    /// <summary>Null when there is an order, or when the steps ran out; otherwise an operation that fits nowhere.</summary>
    public HistoryOperation? Run()
    {
        var state = RegisterState.Absent;
        var done = new ulong[(_operations.Count + 63) / 64];
        var tried = new HashSet<(Bits, RegisterState)>();
        var stack = new Stack<(int Call, RegisterState Before, bool Vanished)>();
        var steps = 0L;
        var furthest = (Time: -1L, Operation: default(HistoryOperation));
        var at = _next[_head];
        var vanished = false;
        while (_openReturns > 0)
        {
            if (++steps > _maxSteps)
            {
                Decided = false;
                return null;
            }
            if (at != _head && _isCall[at])
            {
                var operation = _operationOf[at];
                var from = vanished ? RegisterState.Absent : state;
                done[operation >> 6] |= 1UL << operation;
                if (from.Apply(_operations[operation]) is { } next && tried.Add((new Bits([.. done]), next)))
                {
                    stack.Push((at, state, vanished));
                    state = next;
                    Lift(at);
                    at = _next[_head];
                    vanished = false;
                    continue;
                }
                done[operation >> 6] &= ~(1UL << operation);
                // Its session may have expired just before.
                if (!vanished && state.Owner != 0)
                {
                    vanished = true;
                    continue;
                }
                vanished = false;
                at = _next[at];
                continue;
            }
            var blocking = at == _head ? null : _operations[_operationOf[at]].Whole;
            if (blocking is not null && blocking.Return > furthest.Time)
                furthest = (blocking.Return, blocking);
            if (stack.Count == 0)
                return furthest.Operation ?? _operations[0].Whole;
            (at, state, var wasVanished) = stack.Pop();
            done[_operationOf[at] >> 6] &= ~(1UL << _operationOf[at]);
            Unlift(at);
            if (!wasVanished && state.Owner != 0)
            {
                vanished = true;
            }
            else
            {
                vanished = false;
                at = _next[at];
            }
        }
        return null;
    }

    private void Lift(int call)
    {
        Unlink(call);
        if (_returnOf[_operationOf[call]] is >= 0 and var end)
        {
            Unlink(end);
            _openReturns--;
        }
    }

    private void Unlift(int call)
    {
        if (_returnOf[_operationOf[call]] is >= 0 and var end)
        {
            Relink(end);
            _openReturns++;
        }
        Relink(call);
    }

    private void Unlink(int at)
    {
        _next[_previous[at]] = _next[at];
        _previous[_next[at]] = _previous[at];
    }

    private void Relink(int at)
    {
        _next[_previous[at]] = at;
        _previous[_next[at]] = at;
    }

    private readonly struct Bits(ulong[] words) : IEquatable<Bits>
    {
        private readonly ulong[] _words = words;

        public bool Equals(Bits other) => _words.AsSpan().SequenceEqual(other._words);

        public override bool Equals(object? other) => other is Bits bits && Equals(bits);

        public override int GetHashCode()
        {
            var hash = new HashCode();
            foreach (var word in _words)
                hash.Add(word);
            return hash.ToHashCode();
        }
    }
}
