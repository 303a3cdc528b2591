using RaftKit.Consensus;

namespace RaftKit.Consensus.Tests.Harness;

/// <summary>
/// Plays a story from a text file, one directive a line; Scenarios/README.md lists them. Nothing moves by itself: what is sent
/// waits for <c>deliver</c>, time for <c>tick</c>.
/// </summary>
internal sealed class Transcript
{
    private readonly List<(string Kind, int From, int To)> _drops = [];
    private ulong _seed = 1;
    private Func<RaftCoreOptions, RaftCoreOptions> _configure = o => o;
    private List<HashSet<int>> _groups = [];
    private TestCluster? _cluster;

    private TestCluster Cluster => _cluster ?? throw new FormatException("'members' comes first");

    public static void Play(string file)
    {
        var transcript = new Transcript();
        int line = 0;
        foreach (string raw in File.ReadLines(file))
        {
            line++;
            string text = raw.Split('#')[0].Trim();
            if (text.Length == 0)
                continue;
            try
            {
                transcript.Do(text.Split(' ', StringSplitOptions.RemoveEmptyEntries));
            }
            catch (Exception e)
            {
                throw new TranscriptException($"{Path.GetFileName(file)}:{line}: {text}\n  {e.Message}\n  {transcript.Describe()}", e);
            }
        }
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
            case "partition": Partition(rest); break;
            case "heal": _groups = []; _drops.Clear(); break;
            case "drop": _drops.Add((rest[0], Id(rest[1]), Id(rest[2]))); break;
            case "lose": Cluster.Network.RemoveAll(m => IsKind(m, rest[0]) && (rest.Length == 1 || (m.From.Value == Id(rest[1]) && m.To.Value == Id(rest[2])))); break;
            case "deliver": Deliver(rest); break;
            case "tick": Tick(rest); break;
            case "elect": Cluster.Elect(Id(rest[0])); break;
            case "propose": Expect(rest.Length > 2 ? rest[2] : "appended", Name(Cluster.Propose(Id(rest[0]), rest[1]))); break;
            case "reconfigure": Reconfigure(rest); break;
            case "crash": Member(rest[0]).Crash(rest.Length > 1 ? int.Parse(rest[1]) : 0); break;
            case "restart": Member(rest[0]).Start(); break;
            case "hold-disk": Member(rest[0]).DiskHeld = true; break;
            case "release-disk": Member(rest[0]).DiskHeld = false; Member(rest[0]).CompleteWrites(); break;
            case "persist": Member(rest[0]).CompleteOneWrite(); break;
            case "died": Died(rest); break;
            case "unreachable": Member(rest[0]).Turn(c => c.PeerUnreachable(new MemberId(Id(rest[1])))); break;
            case "transfer": Transfer(rest); break;
            case "read": Member(rest[0]).Turn(c => c.ReadIndex(ulong.Parse(rest[1]))); break;
            case "snapshot": Member(rest[0]).TakeSnapshot(rest.Length > 2 ? long.Parse(rest[2]) : 0); break;
            case "expect": Expect(rest); break;
            default: throw new FormatException($"there is no directive '{words[0]}'");
        }
    }

    private void Expect(string[] words)
    {
        switch (words[0])
        {
            case "leader" when words.Length >= 2:
                Expect(words[1], string.Join(' ', Cluster.Members.Where(m => m.IsUp && m.Core.Role == RaftRole.Leader).Select(m => m.Id)));
                if (words.Length > 3)
                    Expect(words[3], $"{Member(words[1]).Core.Term}");
                break;
            case "no-leader": Expect("", string.Join(' ', Cluster.Members.Where(m => m.IsUp && m.Core.Role == RaftRole.Leader).Select(m => m.Id))); break;
            case "role": Expect(words[2], Name(Member(words[1]).Core.Role)); break;
            case "follows": Expect(words[2], $"{Member(words[1]).Core.Leader}"); break;
            case "term": Expect(words[2], $"{Member(words[1]).Core.Term}"); break;
            case "vote": Expect(words[2], $"{Member(words[1]).Core.Vote}"); break;
            case "commit": Expect(words[2], $"{Member(words[1]).Core.Commit}"); break;
            case "durable": Expect(words[2], $"{Member(words[1]).Core.Durable}"); break;
            case "first": Expect(words[2], $"{Member(words[1]).Core.FirstIndex}"); break;
            case "log": Expect(string.Join(' ', words[2..]), LogOf(Member(words[1]).Core)); break;
            case "state": Expect(string.Join(' ', words[2..]), string.Join(' ', Member(words[1]).State)); break;
            case "members": Expect(string.Join(' ', words[2..]), Describe(Member(words[1]).Core.Membership)); break;
            case "read": Expect(words[3], ReadOf(Member(words[1]), ulong.Parse(words[2]))); break;
            case "sent": Expect(words[4], $"{Cluster.Network.Count(m => IsKind(m, words[1]) && m.From.Value == Id(words[2]) && m.To.Value == Id(words[3]))}"); break;
            default: throw new FormatException($"nothing is known about 'expect {words[0]}'");
        }
    }

    private void SetOption(string name, int value)
    {
        var before = _configure;
        _configure = name switch
        {
            "append-bytes" => o => before(o) with { MaxAppendBytes = value },
            "inflight" => o => before(o) with { MaxInflightMessages = value },
            "chunk-bytes" => o => before(o) with { SnapshotChunkBytes = value },
            "uncommitted-bytes" => o => before(o) with { MaxUncommittedBytes = value },
            _ => throw new FormatException($"there is no option '{name}'"),
        };
    }

    private void Form(string[] ids)
    {
        _cluster = new TestCluster(ids.Select(Id), _seed, _configure)
        {
            Passes = m => Reaches(m.From.Value, m.To.Value) && !_drops.Any(d => d.From == m.From.Value && d.To == m.To.Value && IsKind(m, d.Kind)),
        };
    }

    private void Partition(string[] words)
    {
        _groups = [.. string.Join(' ', words).Split('|').Select(g => g.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(Id).ToHashSet())];
        Cluster.Network.RemoveAll(m => !Reaches(m.From.Value, m.To.Value));
    }

    // A member may stand in several groups: it bridges them.
    private bool Reaches(int from, int to) => _groups.Count == 0 || _groups.Any(g => g.Contains(from) && g.Contains(to));

    private void Deliver(string[] words)
    {
        if (words.Length == 0)
        {
            Cluster.Deliver();
            return;
        }
        int at = Cluster.Network.FindIndex(m => IsKind(m, words[0]) && m.From.Value == Id(words[1]) && m.To.Value == Id(words[2]));
        if (at < 0)
            throw new FormatException($"no {words[0]} from {words[1]} to {words[2]} is in flight");
        Cluster.DeliverOne(at);
    }

    private void Tick(string[] words)
    {
        if (words[0] == "all")
        {
            Cluster.TickAll(words[1] == "election" ? 2 * new RaftCoreOptions { Self = default, Seed = 0 }.ElectionTicks : int.Parse(words[1]));
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

    private void Reconfigure(string[] words)
    {
        var lists = new Dictionary<string, List<int>> { ["voters"] = [], ["learners"] = [], ["outgoing"] = [] };
        List<int> list = [];
        string expected = "appended";
        foreach (string word in words[1..])
        {
            if (lists.TryGetValue(word, out var named))
                list = named;
            else if (int.TryParse(word, out int id))
                list.Add(id);
            else
                expected = word;
        }
        Expect(expected, Name(Cluster.Reconfigure(Id(words[0]), TestCluster.Config(lists["voters"], lists["learners"], lists["outgoing"]))));
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

    private static bool IsKind(Message message, string kind) => kind == "any" || kind == message switch
    {
        VoteRequest { PreVote: true } => "prevote",
        VoteRequest => "vote",
        VoteReply { PreVote: true } => "prevote-reply",
        VoteReply => "vote-reply",
        AppendRequest => "append",
        AppendReply => "append-reply",
        Heartbeat => "heartbeat",
        HeartbeatReply => "heartbeat-reply",
        SnapshotChunk => "chunk",
        SnapshotReply => "chunk-reply",
        ReadIndexRequest => "read",
        ReadIndexReply => "read-reply",
        TimeoutNow => "timeout-now",
        _ => "",
    };

    private static string ReadOf(TestMember member, ulong token)
    {
        foreach (var grant in member.Reads)
        {
            if (grant.Token == token)
                return grant.Refused ? "refused" : $"{grant.Index}";
        }
        return "waiting";
    }

    private static string LogOf(RaftCore core)
    {
        List<string> entries = [];
        for (var index = core.FirstIndex; index <= core.LastIndex; index = index.Next)
            entries.Add($"{index}:{core.Log.TermAt(index)}");
        return string.Join(' ', entries);
    }

    private static string Describe(Membership m)
    {
        string text = $"voters {Ids(m.Voters)}";
        if (m.Learners.Count > 0)
            text += $" learners {Ids(m.Learners)}";
        return m.IsJoint ? text + $" outgoing {Ids(m.Outgoing)}" : text;

        static string Ids(IReadOnlyList<MemberIncarnation> list) => string.Join(' ', list.Select(x => x.Id));
    }

    // NotLeader becomes not-leader.
    private static string Name<T>(T value)
        where T : struct, Enum =>
        string.Concat($"{value}".Select((c, i) => char.IsUpper(c) ? (i > 0 ? "-" : "") + char.ToLowerInvariant(c) : $"{c}"));

    private string Describe() => _cluster is null ? "" : string.Join("\n  ", Cluster.Members.Select(m =>
        $"member {m.Id}: {(m.IsUp ? Name(m.Core.Role) : "down")} term {m.Core.Term} vote {m.Core.Vote} follows {m.Core.Leader} commit {m.Core.Commit} log {LogOf(m.Core)}"))
        + $"\n  in flight: {string.Join("; ", Cluster.Network.Take(12).Select(TestCluster.Describe))}";
}

/// <summary>A story went otherwise than told: file, line, what was expected and what is.</summary>
internal sealed class TranscriptException(string message, Exception? inner) : Exception(message, inner);
