using RaftKit.Consensus;
using RaftKit.Node.Loop;

namespace RaftKit.Node.Reads;

/// <summary>
/// Linearizable read points (thesis 6.4). All that ask within one turn share one round; a round that nobody can answer is asked again, so a reader
/// waits for a leader rather than failing. Loop thread only.
/// </summary>
internal sealed class ReadBarrier
{
    private readonly Dictionary<ulong, List<IReadCallback>> _asked = [];
    private readonly PriorityQueue<List<IReadCallback>, long> _granted = new();
    private readonly List<IReadCallback> _refused = [];
    private int _count;
    private List<IReadCallback> _waiting = [];
    private ulong _token;

    public bool HasWaiting => _waiting.Count > 0;

    /// <summary>How many wait for their answer, wherever they are.</summary>
    public int Count => _count;

    /// <summary>A reader: of everything acknowledged before now, or of the state as it is here, which is ready as soon as the machines are whole.</summary>
    public void Add(IReadCallback callback, bool linearizable = true)
    {
        if (linearizable)
            _waiting.Add(callback);
        else
            _granted.Enqueue([callback], 0);
        _count++;
    }

    /// <summary>Starts a round for everybody who asked since the last one.</summary>
    public void Ask(RaftCore core)
    {
        if (_waiting.Count == 0)
            return;
        _asked[++_token] = _waiting;
        _waiting = [];
        core.ReadIndex(_token);
    }

    /// <summary>Those whom nobody could answer ask again, once a tick; whoever gave up waiting is forgotten, so that a time without a leader gathers none.</summary>
    public void Tick()
    {
        _waiting.AddRange(_refused);
        _refused.Clear();
        _count -= _waiting.RemoveAll(static reader => reader.IsAbandoned);
    }

    /// <summary>A round ended.</summary>
    public void Granted(in ReadGrant grant)
    {
        if (!_asked.Remove(grant.Token, out var readers))
            return;
        if (grant.Refused)
            _refused.AddRange(readers);
        else
            _granted.Enqueue(readers, grant.Index.Value);
    }

    /// <summary>The state machines hold everything up to this index.</summary>
    public void AppliedTo(LogIndex applied)
    {
        while (_granted.TryPeek(out var readers, out var index) && index <= applied.Value)
        {
            _granted.Dequeue();
            _count -= readers.Count;
            foreach (var reader in readers)
                reader.Ready();
        }
    }

    /// <summary>Nobody is answered any more. Whoever is told may ask again at once (a session goes on with its next call), and is told again.</summary>
    public void FailAll(string reason)
    {
        while (TakeAll() is { Count: > 0 } readers)
        {
            foreach (var reader in readers)
                reader.Failed(reason);
        }
    }

    private List<IReadCallback> TakeAll()
    {
        List<IReadCallback> all =
            [.. _asked.Values.Append(_waiting).Append(_refused).Concat(_granted.UnorderedItems.Select(i => i.Element)).SelectMany(readers => readers)];
        _asked.Clear();
        _granted.Clear();
        _refused.Clear();
        _waiting = [];
        _count = 0;
        return all;
    }
}
