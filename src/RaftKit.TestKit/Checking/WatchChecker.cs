using System.Runtime.CompilerServices;
using RaftKit.Consensus;
using RaftKit.Znodes;

namespace RaftKit.TestKit;

/// <summary>
/// Follows what one watch hears through its timeline: every event must be the next that it is to hear, so none is spurious, missing,
/// doubled or out of order.
/// </summary>
internal sealed class WatchChecker(SimulatedWorld world, TreeOracle oracle, string who, WatchTimeline timeline)
{
    private readonly Queue<WatchEvent> _pending = new();
    private WatchTimeline.Place _next;
    private WatchTimeline.Place _seen;
    private long _notBefore;
    private long _heard;
    private long _complete = long.MaxValue;
    private bool _aligned;
    private bool _over;

    /// <summary>How many events it heard.</summary>
    public int Events { get; private set; }

    /// <summary>How many of them came of comparing the states before and after a snapshot.</summary>
    public int FoundByJumps { get; private set; }

    /// <summary>The watch is being set; events of changes after this may already come.</summary>
    public void Setting(long zxid) => _notBefore = zxid;

    /// <summary>The watch is set: from here on nothing may be missing.</summary>
    public void Set(long zxid) => _complete = zxid;

    /// <summary>A snapshot replaced the member's state.</summary>
    public void Jumped(long from, long to) => timeline.Jumped(from, to);

    public void Heard(WatchEvent heard)
    {
        if (world.IsAside)
            return;
        Events++;
        Require(heard.Zxid <= oracle.Zxid, 31, $"{who} heard {heard}, which nobody has applied");
        Require(heard.Zxid >= _heard, 32, $"{who} heard {heard} after an event of {_heard:x}");
        _heard = heard.Zxid;
        if (!_aligned)
        {
            Require(heard.Zxid > _notBefore, 31, $"{who} heard {heard}, of before it watched ({_notBefore:x})");
            Align(heard);
        }
        else if (Next() is { } expected)
        {
            Require(heard == expected, heard.Zxid < expected.Zxid ? 28 : heard.Zxid > expected.Zxid ? 30 : 31,
                $"{who} heard {heard}, and should have heard {expected}");
        }
        else
        {
            Require(false, 31,
                $"{who} heard {heard}, and {(_over ? "it could not go on behind a snapshot" : "nothing that it watches has changed")}");
        }
    }

    /// <summary>The client has seen the state at this zxid: everything up to it must have been heard before.</summary>
    public void Saw(long zxid)
    {
        if (world.IsAside)
            return;
        if (_pending.TryPeek(out var unheard) && unheard.Zxid <= zxid)
        {
            Require(false, 29, $"{who} saw the state at {zxid:x} before it heard {unheard}");
            return;
        }
        ref var from = ref _aligned ? ref _next : ref _seen;
        while (timeline.TryNext(from, out var step) && step.To <= zxid)
        {
            if ((_aligned || step.From >= _complete) && step.Events.Count > 0)
            {
                Require(false, 29, $"{who} saw the state at {zxid:x} before it heard {step.Events[0]}");
                return;
            }
            from = step.Behind;
        }
    }

    // The first event: it may be of any change after the setting began, and none after the setting ended may lie before it.
    private void Align(in WatchEvent heard)
    {
        for (var at = default(WatchTimeline.Place); timeline.TryNext(at, out var step) && step.From < heard.Zxid; at = step.Behind)
        {
            if (step.To <= _notBefore)
                continue;
            for (var i = 0; i < step.Events.Count; i++)
            {
                if (step.Events[i] == heard)
                {
                    (_aligned, _next) = (true, step.Behind);
                    Take(step, i + 1);
                    return;
                }
                Require(step.From < _complete || step.Events[i].Zxid > heard.Zxid, 30,
                    $"{who} heard {heard} first, and not {step.Events[i]}");
            }
        }
        Require(false, 31, $"{who} heard {heard}, and no such thing has happened");
    }

    private WatchEvent? Next()
    {
        while (_pending.Count == 0)
        {
            if (_over || !timeline.TryNext(_next, out var step))
                return null;
            _next = step.Behind;
            _over = step.Ends;
            Take(step, 0);
        }
        return _pending.Dequeue();
    }

    private void Take(in WatchTimeline.Step step, int from)
    {
        if (step.To > step.From + 1)
            FoundByJumps += step.Events.Count;
        for (var i = from; i < step.Events.Count; i++)
            _pending.Enqueue(step.Events[i]);
    }

    private void Require(bool fact, int invariant, [InterpolatedStringHandlerArgument(nameof(fact))] ref InvariantMessage what)
    {
        if (!fact)
            world.Violate($"invariant {invariant}: {what.ToString()}");
    }
}
