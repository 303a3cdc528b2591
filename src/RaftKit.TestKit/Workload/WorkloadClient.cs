using System.Globalization;
using System.Text;
using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace RaftKit.TestKit;

/// <summary>
/// One client in a member's process: it opens sessions, writes and reads in all the ways there are, watches, and checks everything that it
/// is told against the oracle. It ends with its process.
/// </summary>
internal sealed class WorkloadClient(
    Workload workload, int number, SimulatedProcess process, IZnodeSessions sessions, SimulatedRandom random)
{
    private static readonly string[] Registers = ["/r0", "/r1", "/r2"];

    private readonly List<WatchChecker> _watches = [];
    private IZnodeSession _session = null!;
    private WatchChecker? _stream;
    private long _lastZxid;
    private int _writes;
    private int _watching;

    private string Who => $"client {number} (session {_session.Id:x})";

    public async Task Run()
    {
        while (!workload.Stopped)
        {
            var timeout = random.Chance(0.5) ? (TimeSpan?)null : random.Between(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(5));
            _watches.Clear();
            _stream = null;
            _lastZxid = 0;
            try
            {
                _session = sessions.Open(timeout);
                workload.Opened(process, _session);
                await _session.OpenedAsync();
                await CreateParents();
                await Live();
            }
            catch (SessionExpiredException)
            {
                workload.SessionsSeenExpired++;
            }
            catch (Exception refused) when (refused is NotAppliedException or OutcomeUnknownException)
            {
                // While it opened: try again with another session, and leave none behind that nobody uses.
                await Discard();
            }
            await Pause(20);
        }
    }

    private async Task Discard()
    {
        if (_session is { State: not SessionState.Expired } unused)
            await unused.DisposeAsync();
    }

    private async Task Live()
    {
        while (!workload.Stopped)
        {
            // Not thrown: what is refused is recorded, life goes on, and a sweep's refusals are too many to unwind a stack for each.
            var acting = Act();
            await acting.ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
            if (acting is not { Exception.InnerException: null or ZnodeException or NotAppliedException or OutcomeUnknownException,
                IsCanceled: false })
                await acting;
            if (random.Chance(0.01))
            {
                await Close();
                return;
            }
            await Pause(random.Chance(0.1) ? 200 : 20);
        }
    }

    private Task Pause(int milliseconds) =>
        Task.Delay(random.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(milliseconds)) * workload.Pace, process.Time);

    private Task Act() => random.Next(20) switch
    {
        0 or 1 or 2 => Create(Register(), CreateMode.Persistent),
        3 or 4 or 5 or 6 => Set(Register()),
        7 => random.Chance(0.2) ? Delete(Register()) : DeleteByMulti(Register()),
        8 => Multi(),
        9 => Create("/q/n-", CreateMode.PersistentSequential),
        10 => Create($"/e/x{random.Next(3)}", CreateMode.Ephemeral),
        11 => Create("/e/s-", CreateMode.EphemeralSequential),
        12 or 13 => ReadLinearizably(Register()),
        14 => ReadChildren(random.Chance(0.5) ? "/e" : "/q"),
        15 or 16 => ReadLocally(Register()),
        17 => ReadView(Register()),
        18 => Watch(),
        _ => PipelineWrites(),
    };

    private string Register() => $"{random.Pick(Registers)}/k{random.Next(3)}";

    private string NextValue() => $"c{number}-{++_writes}";

    private async Task CreateParents()
    {
        foreach (var path in (string[])[.. Registers, "/q", "/e"])
        {
            var creating = Create(path, CreateMode.Persistent);
            await creating.ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
            // Or another client was first.
            if (creating is not { Exception.InnerException: null or ZnodeException { Error: ZnodeError.NodeExists }, IsCanceled: false })
                await creating;
        }
    }

    private HistoryOperation New(HistoryKind kind, string? path = null) =>
        new() { Client = number, Session = _session.Id, Kind = kind, Path = path };

    private Task Create(string path, CreateMode mode)
    {
        var value = NextValue();
        var isEphemeral = mode is CreateMode.Ephemeral or CreateMode.EphemeralSequential;
        return workload.Log.Record(
            New(HistoryKind.Create, path) with
            {
                In = value,
                Sequential = mode is CreateMode.PersistentSequential or CreateMode.EphemeralSequential,
                Owner = isEphemeral ? _session.Id : 0,
            },
            () => _session.CreateAsync(path, Encoding.UTF8.GetBytes(value), mode),
            (operation, znode) => operation with { Out = znode.Path, Zxid = znode.Stat.CreatedZxid },
            created => Saw(created.Zxid));
    }

    private Task Set(string path)
    {
        var value = NextValue();
        var expected = random.Chance(0.5) ? -1 : sessions.View.Get(path)?.Stat.Version ?? 0;
        return workload.Log.Record(
            New(HistoryKind.Set, path) with { In = value, ExpectedVersion = expected },
            () => _session.SetAsync(path, Encoding.UTF8.GetBytes(value), expected),
            (operation, stat) => operation with { Version = stat.Version, Zxid = stat.ModifiedZxid },
            stat => Saw(stat.ModifiedZxid));
    }

    private Task Delete(string path)
    {
        var expected = random.Chance(0.5) ? -1 : sessions.View.Get(path)?.Stat.Version ?? 0;
        return workload.Log.Record(
            New(HistoryKind.Delete, path) with { ExpectedVersion = expected },
            async () =>
            {
                await _session.DeleteAsync(path, expected);
                return true;
            },
            (operation, _) => operation);
    }

    // A multi of one tells the zxid, which lets the history be replayed without searching for where the deletion belongs.
    private Task DeleteByMulti(string path)
    {
        return workload.Log.Record(
            New(HistoryKind.Delete, path),
            () => _session.MultiAsync([new ZnodeOperation.Delete(path)]),
            (operation, result) => result.Succeeded
                ? operation with { Zxid = result.Zxid }
                : operation with { Zxid = result.Zxid, Status = HistoryStatus.Fail, Error = OperationLog.NameOf(result.Results[0].Error) });
    }

    private Task Multi()
    {
        var parts = new List<HistoryOperation>();
        var operations = new List<ZnodeOperation>();
        for (var i = random.Between(2, 3); i > 0; i--)
        {
            var path = Register();
            var value = NextValue();
            switch (random.Next(4))
            {
                case 0:
                    parts.Add(New(HistoryKind.Create, path) with { In = value });
                    operations.Add(new ZnodeOperation.Create(path, Encoding.UTF8.GetBytes(value)));
                    break;
                case 1:
                    parts.Add(New(HistoryKind.Set, path) with { In = value });
                    operations.Add(new ZnodeOperation.Set(path, Encoding.UTF8.GetBytes(value)));
                    break;
                case 2:
                    parts.Add(New(HistoryKind.Delete, path));
                    operations.Add(new ZnodeOperation.Delete(path));
                    break;
                default:
                    parts.Add(New(HistoryKind.Check, path));
                    operations.Add(new ZnodeOperation.Check(path));
                    break;
            }
        }
        return workload.Log.Record(
            New(HistoryKind.Multi) with { Operations = parts },
            () => _session.MultiAsync(operations),
            (operation, result) => result.Succeeded
                ? operation with
                {
                    Zxid = result.Zxid,
                    Operations =
                        [.. parts.Zip(
                            result.Results, (part, r) => part.Kind == HistoryKind.Set ? part with { Version = r.Stat.Version } : part)],
                }
                : operation with
                {
                    Status = HistoryStatus.Fail,
                    Zxid = result.Zxid,
                    Error = OperationLog.NameOf(
                        result.Results.First(r => r.Error is not ZnodeError.None and not ZnodeError.RuntimeInconsistency).Error),
                });
    }

    /// <summary>Several writes under way at once: they are answered in the order in which they were made (invariant 36).</summary>
    private async Task PipelineWrites()
    {
        var path = Register();
        var order = new List<int>();
        var tasks = new List<Task>();
        for (var i = 0; i < 4; i++)
            tasks.Add(One(i));
        await Task.WhenAll(tasks);
        if (!order.SequenceEqual(order.Order()))
            workload.Violate(36, $"{Who} had its writes answered in the order {string.Join(' ', order)}");

        async Task One(int index)
        {
            var setting = Set(path);
            await setting.ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
            switch (setting.Exception?.InnerException)
            {
                case NotAppliedException:
                    // Refused at the door, at once: it has no place in the order.
                    return;
                case null or ZnodeException or OutcomeUnknownException or SessionExpiredException when !setting.IsCanceled:
                    // Refusals of the tree have their place in the order too.
                    order.Add(index);
                    return;
                default:
                    await setting;
                    return;
            }
        }
    }

    private async Task ReadLinearizably(string path)
    {
        var acknowledged = workload.HighestAcknowledged;
        var read = await workload.Log.Record(
            New(HistoryKind.Get, path),
            async () =>
            {
                var synced = await _session.SyncAsync();
                if (synced < acknowledged)
                    workload.Violate(15, $"{Who} synced up to {synced:x}, though {acknowledged:x} was acknowledged before");
                return await _session.GetAsync(path);
            },
            (operation, znode) => znode is null
                ? operation with { Exists = false }
                : operation with { Exists = true, Out = Encoding.UTF8.GetString(znode.Data.Span), Version = znode.Stat.Version,
                    Zxid = znode.Zxid });
        workload.Oracle.CheckRead(Who, path, read, 0);
        if (read is not null)
            Saw(read.Zxid);
    }

    private async Task ReadChildren(string path)
    {
        await workload.Log.Record(
            New(HistoryKind.Children, path),
            async () =>
            {
                await _session.SyncAsync();
                return await _session.GetChildrenAsync(path);
            },
            (operation, children) => children is null ? operation : operation with { Children = children.Names, Zxid = children.Zxid });
    }

    private async Task ReadLocally(string path)
    {
        if (random.Chance(0.5))
        {
            await ReadAndWatchOnce(path);
            return;
        }
        var read = await _session.GetAsync(path);
        workload.Oracle.CheckRead(Who, path, read, 0);
        if (read is not null)
            Saw(read.Zxid);
    }

    private async Task ReadAndWatchOnce(string path)
    {
        if (_watching >= 8)
            return;
        _watching++;
        var watch = new OneShot(workload, Who, path, workload.NewTimeline(process, path, WatchMode.Data));
        Znode? read;
        try
        {
            read = await _session.GetAsync(path, watch.Heard);
        }
        catch (NotAppliedException)
        {
            _watching--;
            throw;
        }
        if (read is not null)
        {
            watch.Set(read.Zxid);
            Saw(read.Zxid);
        }
        workload.Oracle.CheckRead(Who, path, read, 0);
        if (watch.HasFired)
            _watching--;
        else
            watch.Fired = () => _watching--;
    }

    private Task ReadView(string path)
    {
        var read = sessions.View.Get(path);
        workload.Oracle.CheckRead($"a view in {process.Number}", path, read, sessions.View.Zxid);
        return Task.CompletedTask;
    }

    private async Task Watch()
    {
        if (_watches.Count >= 3)
            return;
        var (path, mode) = random.Next(3) switch
        {
            0 => ("/", WatchMode.PersistentRecursive),
            1 => (random.Pick(Registers), WatchMode.Persistent),
            _ => (Register(), WatchMode.Persistent),
        };
        var checker = workload.NewWatch(process, $"{Who}, watching {path} as {mode}", path, mode);
        checker.Setting(sessions.View.Zxid);
        await _session.WatchAsync(path, mode, heard =>
        {
            workload.WatchEvents++;
            checker.Heard(heard);
        });
        checker.Set(sessions.View.Zxid);
        _watches.Add(checker);
        if (_stream is null && random.Chance(0.5))
            _ = Stream();
    }

    private async Task Stream()
    {
        var session = _session;
        var checker = workload.NewWatch(process, $"{Who}, streaming /", "/", WatchMode.PersistentRecursive, isStream: true);
        _stream = checker;
        checker.Setting(sessions.View.Zxid);
        try
        {
            await foreach (var heard in session.EventsAsync("/"))
            {
                workload.WatchEvents++;
                checker.Heard(heard);
            }
        }
        catch (WatchCompactedException compacted)
        {
            workload.Oracle.CheckState(Who, compacted);
        }
        catch (Exception ended) when (ended is SessionExpiredException or NotAppliedException)
        {
            // The stream says so when it cannot go on, or begin.
        }
    }

    private async Task Close()
    {
        var session = _session;
        await workload.Log.Record(
            New(HistoryKind.CloseSession) with { Owner = session.Id },
            async () =>
            {
                await session.CloseAsync();
                return true;
            },
            // A session that had expired before is closed as well: when it ended, nobody here can tell.
            (operation, _) => operation with { Status = HistoryStatus.Info });
    }

    /// <summary>
    /// This session has seen the state at this zxid: its watches must have heard everything before, and it never goes back.
    /// </summary>
    private void Saw(long zxid)
    {
        if (zxid < _lastZxid)
            workload.Violate(35, $"{Who} went back from {_lastZxid:x} to {zxid:x}");
        _lastZxid = zxid;
        workload.Acknowledge(zxid);
        foreach (var watch in _watches)
            watch.Saw(zxid);
    }
}

/// <summary>A one-shot watch set by a read: it must hear the first change after what was read, once.</summary>
internal sealed class OneShot(Workload workload, string who, string path, WatchTimeline timeline)
{
    private WatchEvent? _heard;
    private long _readAt = -1;

    public bool HasFired => _heard is not null;

    public Action? Fired { get; set; }

    public void Set(long zxid)
    {
        _readAt = zxid;
        Check();
    }

    public void Heard(WatchEvent heard)
    {
        workload.WatchEvents++;
        if (_heard is { } before)
            workload.Violate(28, $"{who} heard {heard} by a one-shot watch that had told it {before}");
        if (heard.Path != path)
            workload.Violate(31, $"{who} watches {path} and heard {heard}");
        _heard = heard;
        Check();
        Fired?.Invoke();
    }

    private void Check()
    {
        if (_heard is not { } heard || _readAt < 0)
            return;
        if (heard.Zxid <= _readAt)
            workload.Violate(31, string.Create(CultureInfo.InvariantCulture, $"{who} read {path} at {_readAt:x} and heard {heard}"));
        for (var at = timeline.After(_readAt); timeline.TryNext(at, out var step) && step.From < heard.Zxid; at = step.Behind)
        {
            if (step.From < _readAt || step.Events.Count == 0)
                continue;
            if (step.Events[0].Zxid < heard.Zxid)
                workload.Violate(
                    30, string.Create(
                        CultureInfo.InvariantCulture,
                        $"{who} read {path} at {_readAt:x} and heard {heard}, but not {step.Events[0]} before it"));
            return;
        }
        workload.Violate(
            31, string.Create(
                CultureInfo.InvariantCulture, $"{who} read {path} at {_readAt:x} and heard {heard}, and no such thing has happened"));
    }
}
