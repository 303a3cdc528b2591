using System.Runtime.CompilerServices;
using RaftKit.Consensus;
using RaftKit.Znodes;
using RaftKit.Znodes.Tree;

namespace RaftKit.TestKit;

/// <summary>
/// Follows what one watch hears through the history that the oracle keeps: every event must be the next change that concerns the watch, so none is
/// spurious, missing, doubled or out of order.
/// </summary>
internal sealed class WatchChecker(SimulatedWorld world, TreeOracle oracle, string who, string path, WatchMode mode)
{
    private long _notBefore;
    private long _complete = long.MaxValue;
    private int _next;
    private int _seen;
    private List<WatchEvent> _pending = [];
    private bool _aligned;
    private long _unclearUpTo;

    /// <summary>How many events it heard.</summary>
    public int Events { get; private set; }

    /// <summary>The watch is being set; events of changes after this may already come.</summary>
    public void Setting(long zxid) => _notBefore = zxid;

    /// <summary>The watch is set: from here on nothing may be missing.</summary>
    public void Set(long zxid) => _complete = zxid;

    /// <summary>A snapshot jumped over changes: up to here, events come from comparing states and tell only that something changed.</summary>
    public void Jumped(long zxid) => _unclearUpTo = zxid;

    public void Heard(WatchEvent heard)
    {
        Events++;
        Require(heard.Zxid <= oracle.Zxid, 31, $"{who} heard {heard}, which nobody has applied");
        if (heard.Zxid <= _unclearUpTo)
            return;
        if (_unclearUpTo > 0)
            SkipTo(_unclearUpTo);
        if (!_aligned)
        {
            Require(heard.Zxid > _notBefore, 31, $"{who} heard {heard}, of before it watched ({_notBefore:x})");
            Align(heard);
        }
        else if (Next() is { } expected)
        {
            Require(heard == expected, heard.Zxid < expected.Zxid ? 28 : heard.Zxid > expected.Zxid ? 30 : 31, $"{who} heard {heard}, and should have heard {expected}");
        }
        else
        {
            Require(false, 31, $"{who} heard {heard}, and nothing that it watches has changed");
        }
    }

    /// <summary>The client has seen the state at this zxid: everything up to it must have been heard before.</summary>
    public void Saw(long zxid)
    {
        if (zxid <= _unclearUpTo)
            return;
        if (_unclearUpTo > 0)
            SkipTo(_unclearUpTo);
        if (_pending.Count > 0 && _pending[0].Zxid <= zxid)
        {
            Require(false, 29, $"{who} saw the state at {zxid:x} before it heard {_pending[0]}");
            return;
        }
        ref var from = ref _aligned ? ref _next : ref _seen;
        for (; from < oracle.Changes.Count && oracle.Changes[from].Zxid <= zxid; from++)
        {
            var change = oracle.Changes[from];
            if (!_aligned && change.Zxid <= _complete)
                continue;
            foreach (var missed in Concerning(change))
            {
                Require(false, 29, $"{who} saw the state at {zxid:x} before it heard {missed}");
                return;
            }
        }
    }

    // The first event: it may be of any change after the setting began, and none after the setting ended may lie before it.
    private void Align(in WatchEvent heard)
    {
        for (_next = 0; _next < oracle.Changes.Count; _next++)
        {
            var change = oracle.Changes[_next];
            if (change.Zxid <= _notBefore)
                continue;
            var position = 0;
            foreach (var concerning in Concerning(change))
            {
                if (concerning == heard)
                {
                    _aligned = true;
                    _pending = [.. Concerning(change).Skip(position + 1)];
                    _next++;
                    return;
                }
                position++;
                Require(change.Zxid <= _complete || change.Zxid > heard.Zxid, 30, $"{who} heard {heard} first, and not {concerning}");
            }
            if (change.Zxid > heard.Zxid)
                break;
        }
        Require(false, 31, $"{who} heard {heard}, and no such thing has happened");
    }

    private WatchEvent? Next()
    {
        while (_pending.Count == 0)
        {
            if (_next == oracle.Changes.Count)
                return null;
            _pending = [.. Concerning(oracle.Changes[_next++])];
        }
        var next = _pending[0];
        _pending.RemoveAt(0);
        return next;
    }

    private void SkipTo(long zxid)
    {
        _pending = [];
        while (_next < oracle.Changes.Count && oracle.Changes[_next].Zxid <= zxid)
            _next++;
        _aligned = true;
        _unclearUpTo = 0;
    }

    private IEnumerable<WatchEvent> Concerning(TreeChange change)
    {
        var own = new WatchEvent((WatchEventType)change.Kind, change.Path, change.Zxid);
        switch (mode)
        {
            case WatchMode.PersistentRecursive:
                if (change.Path == path || path == "/" || (change.Path.StartsWith(path, StringComparison.Ordinal) && change.Path[path.Length] == '/'))
                    yield return own;
                break;
            case WatchMode.Data:
                if (change.Path == path)
                    yield return own;
                break;
            default:
                if (change.Path == path && (mode == WatchMode.Persistent || change.Kind == TreeChangeKind.Deleted))
                    yield return own;
                if (change.ChangesParentsChildren && change.ParentPath == path)
                    yield return new WatchEvent(WatchEventType.ChildrenChanged, path, change.Zxid);
                break;
        }
    }

    private void Require(bool fact, int invariant, [InterpolatedStringHandlerArgument(nameof(fact))] ref InvariantMessage what)
    {
        if (!fact)
            world.Violate($"invariant {invariant}: {what.ToString()}");
    }
}
