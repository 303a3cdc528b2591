using RaftKit.Load;
using RaftKit.Load.Members;
using RaftKit.Load.Parent;

// One program, two parts: started by a user it is the parent, which starts itself again as each of the members.
return args is [Member.Verb, var settings]
    ? await Member.RunAsync(MemberSettings.Parse(settings))
    : await LoadCommand.RunAsync(args);
