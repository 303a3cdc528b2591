using RaftKit.Consensus;
using static RaftKit.Consensus.Tests.Harness.MessageWords;

namespace RaftKit.Consensus.Tests.Harness;

/// <summary>
/// Plays a story from a text file, one directive a line; Scenarios/README.md lists them. Nothing moves by itself: what is sent
/// waits for <c>deliver</c>, time for <c>tick</c>.
/// </summary>
internal sealed class Transcript
{
    private readonly List<(string Kind, int From, int To)> _drops = [];
    private readonly Dictionary<string, Message> _caught = [];
    private ulong _seed = 1;
    private Func<RaftCoreOptions, RaftCoreOptions> _configure = o => o;
    private List<HashSet<int>> _groups = [];
    private TestCluster? _cluster;

    private TestCluster Cluster => _cluster ?? throw new FormatException("'members' comes first");

    /// <summary>What a file directs: its lines without comments and empty ones, each with its number, words one space apart.</summary>
    public static IEnumerable<(int Line, string Directive)> Directives(string file) => File.ReadLines(file)
        .Select((raw, at) => (at + 1, string.Join(' ', WithoutComment(raw).Split(' ', StringSplitOptions.RemoveEmptyEntries))))
        .Where(d => d.Item2.Length > 0);

    public static void Play(string file)
    {
        var transcript = new Transcript();
        foreach (var (line, directive) in Directives(file))
        {
            try
            {
                transcript.Do(directive.Split(' '));
            }
            catch (Exception e)
            {
                throw new TranscriptException($"{Path.GetFileName(file)}:{line}: {directive}\n  {e.Message}\n  {transcript.Describe()}", e);
            }
        }
        // Whatever the story was, logs that agree on an index and its term agree before it (Raft 5.3).
        transcript.Cluster.CheckLogs();
    }

    // A comment starts a line or follows a space: 3#2 is the second life of member 3.
    private static string WithoutComment(string raw)
    {
        if (raw.StartsWith('#'))
            return "";
        int at = raw.IndexOf(" #", StringComparison.Ordinal);
        return at < 0 ? raw : raw[..at];
    }

    private void Do(string[] words)
    {
        string[] rest = words[1..];
        switch (words[0])
        {
            case "seed": _seed = ulong.Parse(rest[0]); break;
            case "option": SetOption(rest[0], int.Parse(rest[1])); break;
            case "members": Form(rest); break;
            case "add": Cluster.Add(Id(rest[0]), isJoining: true); break;
            case "given": Given(rest); break;
            case "partition": Partition(rest); break;
            case "heal": _groups = []; _drops.Clear(); break;
            case "drop": _drops.Add((rest[0], Id(rest[1]), Id(rest[2]))); break;
            case "lose": Cluster.Network.RemoveAll(m => rest.Length == 1 ? IsKind(m, rest[0]) : Is(m, rest)); break;
            case "deliver" when rest.Length == 0: Cluster.Deliver(); break;
            case "deliver": Cluster.DeliverOne(Oldest(rest)); break;
            case "deliver-newest": Cluster.DeliverOne(Newest(rest)); break;
            case "duplicate": Cluster.Network.Add(Cluster.Network[Oldest(rest)]); break;
            case "catch": Catch(rest[0], Oldest(rest[1..])); break;
            case "replay": Cluster.Network.Add(_caught[rest[0]]); break;
            case "tick": Tick(rest); break;
            case "clock": Member(rest[0]).Now = long.Parse(rest[1]); break;
            case "elect": Cluster.Elect(Id(rest[0])); break;
            case "propose": Expect(rest.Length > 2 ? rest[2] : "appended", Observation.Name(Cluster.Propose(Id(rest[0]), rest[1]))); break;
            case "batch": Batch(rest); break;
            case "reconfigure": Reconfigure(rest); break;
            case "crash": Member(rest[0]).Crash(rest.Length > 1 ? int.Parse(rest[1]) : 0); break;
            case "restart": Member(rest[0]).Start(); break;
            case "wipe": Member(rest[0]).Wipe(); Forget(Id(rest[0])); break;
            case "rot": Member(rest[0]).Rot(new LogIndex(rest[1] == "snapshot" ? 0 : long.Parse(rest[1]))); break;
            case "copy-disk": Member(rest[0]).CopyDisk(); break;
            case "roll-back": Member(rest[0]).RollBack(); Forget(Id(rest[0])); break;
            case "hold-disk": Member(rest[0]).DiskHeld = true; break;
            case "release-disk": Member(rest[0]).DiskHeld = false; Member(rest[0]).CompleteWrites(); break;
            case "persist": Member(rest[0]).CompleteOneWrite(); break;
            case "hold-install": Member(rest[0]).InstallHeld = true; break;
            case "install": Member(rest[0]).FinishInstall(); break;
            case "damage-chunk": Member(rest[0]).DamagesNextChunk = true; break;
            case "trim": Member(rest[0]).Turn(c => c.TrimMemory(long.Parse(rest[1]))); break;
            case "died": Died(rest); break;
            case "unreachable": Member(rest[0]).Turn(c => c.PeerUnreachable(new MemberId(Id(rest[1])))); break;
            case "reachable": Member(rest[0]).Turn(c => c.PeerReachable(new MemberId(Id(rest[1])))); break;
            case "transfer": Transfer(rest); break;
            case "read": Read(rest); break;
            case "wait": Wait(rest); break;
            case "snapshot": Member(rest[0]).TakeSnapshot(rest.Length > 2 ? long.Parse(rest[2]) : 0); break;
            case "expect": var (said, actual) = Observation.Of(Cluster, rest); Expect(said, actual); break;
            default: throw new FormatException($"there is no directive '{words[0]}'");
        }
    }

    private void SetOption(string name, int value)
    {
        var before = _configure;
        _configure = name switch
        {
            "append-bytes" => o => before(o) with { MaxAppendBytes = value },
            "inflight" => o => before(o) with { MaxInflightMessages = value },
            "inflight-bytes" => o => before(o) with { MaxInflightBytes = value },
            "chunk-bytes" => o => before(o) with { SnapshotChunkBytes = value },
            "uncommitted-bytes" => o => before(o) with { MaxUncommittedBytes = value },
            "election-ticks" => o => before(o) with { ElectionTicks = value },
            "heartbeat-ticks" => o => before(o) with { HeartbeatTicks = value },
            "promise-ms" => o => before(o) with { VoterPromise = TimeSpan.FromMilliseconds(value) },
            "drift-percent" => o => before(o) with { ClockDrift = value / 100.0 },
            _ => throw new FormatException($"there is no option '{name}'"),
        };
    }

    private void Form(string[] ids)
    {
        _cluster = new TestCluster(ids.Select(Id), _seed, _configure)
        {
            Passes = m =>
                Reaches(m.From.Value, m.To.Value) && !_drops.Any(d => d.From == m.From.Value && d.To == m.To.Value && IsKind(m, d.Kind)),
        };
    }

    private void Given(string[] words)
    {
        int log = Array.IndexOf(words, "log");
        string[] head = log < 0 ? words : words[..log];
        int term = Array.IndexOf(head, "term"), vote = Array.IndexOf(head, "vote");
        Member(words[0]).StartFrom(TestDisk.Holding(
            new Term(term < 0 ? 0 : long.Parse(head[term + 1])),
            new MemberId(vote < 0 ? 0 : Id(head[vote + 1])),
            log < 0 ? [] : words[(log + 1)..].Select(GivenEntry)));
    }

    // Equal index and term, equal command: as logs are (Raft 5.3).
    private Entry GivenEntry(string word)
    {
        string[] parts = word.Split(':');
        return new Entry(new Term(long.Parse(parts[1])), new LogIndex(long.Parse(parts[0])), EntryKind.Command, 0, Cluster.Command(word));
    }

    private void Partition(string[] words)
    {
        _groups = [.. string.Join(' ', words).Split('|').Select(
            g => g.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(Id).ToHashSet())];
        Cluster.Network.RemoveAll(m => !Reaches(m.From.Value, m.To.Value));
    }

    // A member may stand in several groups: it bridges them.
    private bool Reaches(int from, int to) => _groups.Count == 0 || _groups.Any(g => g.Contains(from) && g.Contains(to));

    private int Oldest(string[] words) => Found(Cluster.Network.FindIndex(m => Is(m, words)), words);

    private int Newest(string[] words) => Found(Cluster.Network.FindLastIndex(m => Is(m, words)), words);

    private static int Found(int at, string[] words) =>
        at >= 0 ? at : throw new FormatException($"no {words[0]} from {words[1]} to {words[2]} is in flight");

    private void Catch(string name, int at)
    {
        _caught[name] = Cluster.Network[at];
        Cluster.Network.RemoveAt(at);
    }

    // Links end with the life that had them.
    private void Forget(int id) => Cluster.Network.RemoveAll(m => m.From.Value == id || m.To.Value == id);

    private void Tick(string[] words)
    {
        if (words[0] == "all")
        {
            Cluster.TickAll(words[1] == "election" ? 2 * Cluster.Members.First().Core.Options.ElectionTicks : int.Parse(words[1]));
            return;
        }
        var member = Member(words[0]);
        if (words[1] != "election")
        {
            for (int n = int.Parse(words[1]); n > 0; n--)
                member.Turn(c => c.Tick());
            return;
        }
        // Until it campaigns, which takes at most twice the election timeout.
        for (int n = 0; n < 2 * member.Core.Options.ElectionTicks && member.Core.Role == RaftRole.Follower; n++)
            member.Turn(c => c.Tick());
    }

    private void Batch(string[] words) => Member(words[0]).Turn(core =>
    {
        foreach (string text in words[1..])
            Expect("appended", Observation.Name(core.Propose(Cluster.Command(text), Member(words[0]).Now, out _)));
    });

    private void Read(string[] words) => Member(words[0]).Turn(core =>
    {
        foreach (string token in words[1..].Where(w => w != "by-lease"))
            core.ReadIndex(ulong.Parse(token), byLease: words[^1] == "by-lease");
    });

    // A clock runs whether its member is up, stopped or cut off; the clocks of several members may run apart.
    private void Wait(string[] words)
    {
        foreach (var member in Cluster.Members.Where(m => words.Length == 1 || words[1..].Contains($"{m.Id}")))
            member.Clock += TimeSpan.FromMilliseconds(int.Parse(words[0]));
    }

    private void Reconfigure(string[] words)
    {
        var lists = new Dictionary<string, List<MemberIncarnation>> { ["voters"] = [], ["learners"] = [], ["outgoing"] = [] };
        List<MemberIncarnation> list = [];
        string expected = "appended";
        foreach (string word in words[1..])
        {
            if (lists.TryGetValue(word, out var named))
                list = named;
            else if (char.IsDigit(word[0]))
                list.Add(Life(word));
            else
                expected = word;
        }
        Expect(expected,
            Observation.Name(Cluster.Reconfigure(Id(words[0]), new Membership(lists["voters"], lists["learners"], lists["outgoing"]))));
    }

    private static MemberIncarnation Life(string word)
    {
        string[] parts = word.Split('#');
        return new MemberIncarnation(new MemberId(Id(parts[0])), parts.Length > 1 ? int.Parse(parts[1]) : 1);
    }

    private void Died(string[] words)
    {
        foreach (var member in Cluster.Members)
        {
            if (member.Id.Value != Id(words[0]) && (words.Length == 1 || words[2..].Contains($"{member.Id}")))
                member.Turn(c => c.PeerDied(new MemberId(Id(words[0]))));
        }
    }

    private void Transfer(string[] words)
    {
        bool accepted = false;
        Member(words[0]).Turn(c => accepted = c.TransferLeadership(new MemberId(Id(words[1]))));
        Expect(words.Length > 2 ? words[2] : "accepted", accepted ? "accepted" : "refused");
    }

    private static void Expect(string expected, string actual)
    {
        if (expected != actual)
            throw new TranscriptException($"expected '{expected}', but it is '{actual}'", null);
    }

    private TestMember Member(string word) => Cluster[Id(word)];

    private static int Id(string word) => int.Parse(word);

    private static bool Is(Message message, string[] words) =>
        IsKind(message, words[0]) && message.From.Value == Id(words[1]) && message.To.Value == Id(words[2]);

    private string Describe() => _cluster is null ? "" : string.Join("\n  ", Cluster.Members.Select(m =>
        $"member {m.Id}: {(m.IsUp ? Observation.Name(m.Core.Role) : "down")} term {m.Core.Term} vote {m.Core.Vote} follows {m.Core.Leader} "
        + $"commit {m.Core.Commit} log {Observation.LogOf(m.Core)}"))
        + $"\n  in flight: {string.Join("; ", Cluster.Network.Take(12).Select(TestCluster.Describe))}";
}

/// <summary>A story went otherwise than told: file, line, what was expected and what is.</summary>
internal sealed class TranscriptException(string message, Exception? inner) : Exception(message, inner);
